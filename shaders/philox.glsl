// Philox 4x32-10 (Salmon et al., SC 2011): the same words as base/philox.h, in one or four lanes.
// In: F, U as in math.glsl, whose functions it uses. Out: a_uniform, a_normal.

void a_philox(U c0, U c1, U c2, U c3, uint key0, uint key1, out U w0, out U w1)
{
    uint k0 = key0, k1 = key1;
    for (int i = 0; i < 10; i++) {
        U h0, l0, h1, l1;
        umulExtended(U(0xD2511F53u), c0, h0, l0);
        umulExtended(U(0xCD9E8D57u), c2, h1, l1);
        c0 = h1 ^ c1 ^ U(k0);
        c1 = l1;
        c2 = h0 ^ c3 ^ U(k1);
        c3 = l0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    w0 = c0;
    w1 = c1;
}

F a_uniform(U element, U sample_number, uint step0, uint step1, uint key0, uint key1)
{
    U w0, w1;
    a_philox(element, sample_number, U(step0), U(step1), key0, key1, w0, w1);
    return F(w0 >> 8) * (1.0 / 16777216.0);
}

F a_normal(U element, U sample_number, uint step0, uint step1, uint key0, uint key1)
{
    U w0, w1;
    a_philox(element, sample_number, U(step0), U(step1), key0, key1, w0, w1);
    F u0 = F(w0 >> 8) * (1.0 / 16777216.0);
    F u1 = F(w1 >> 8) * (1.0 / 16777216.0);
    return sqrt(max(-2.0 * a_log(1.0 - u0), F(0.0))) * a_cos_turns(u1);
}
