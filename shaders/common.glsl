// What every generated kernel may use. In: nothing. Out: division by a constant divisor, logic on four lanes.

// n / d for n < 2^31 by the divisor's magic number (Granlund and Montgomery 1994); shift = ceil(log2 d) - 1
uint a_div(uint n, int magic, int shift)
{
    uint high, low;
    umulExtended(n, uint(magic), high, low);
    return high >> shift;
}

bvec4 a_and(bvec4 a, bvec4 b) { return bvec4(a.x && b.x, a.y && b.y, a.z && b.z, a.w && b.w); }
bvec4 a_or(bvec4 a, bvec4 b) { return bvec4(a.x || b.x, a.y || b.y, a.z || b.z, a.w || b.w); }
bool a_and(bool a, bool b) { return a && b; }
bool a_or(bool a, bool b) { return a || b; }
