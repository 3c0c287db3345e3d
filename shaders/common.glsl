// What every generated kernel may use. In: nothing. Out: division by a constant divisor, logic on four lanes.

// n / d for n < 2^31 by the divisor's magic number (Granlund and Montgomery 1994); shift = ceil(log2 d) - 1
uint a_div(uint n, int magic, int shift)
{
    uint high, low;
    umulExtended(n, uint(magic), high, low);
    return high >> shift;
}

uvec4 a_div(uvec4 n, int magic, int shift)
{
    uvec4 high, low;
    umulExtended(n, uvec4(uint(magic)), high, low);
    return high >> shift;
}

// floor(n / d) for any n: -1 - n is what a negative n looks like with its bits turned over
int a_floor_by(int n, int magic, int shift)
{
    int sign = n >> 31;
    return int(a_div(uint(n ^ sign), magic, shift)) ^ sign;
}
ivec4 a_floor_by(ivec4 n, int magic, int shift)
{
    ivec4 sign = n >> 31;
    return ivec4(a_div(uvec4(n ^ sign), magic, shift)) ^ sign;
}

bvec4 a_and(bvec4 a, bvec4 b) { return bvec4(a.x && b.x, a.y && b.y, a.z && b.z, a.w && b.w); }
bvec4 a_or(bvec4 a, bvec4 b) { return bvec4(a.x || b.x, a.y || b.y, a.z || b.z, a.w || b.w); }
bool a_and(bool a, bool b) { return a && b; }
bool a_or(bool a, bool b) { return a || b; }
