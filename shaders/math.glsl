// Elementary functions to float32 accuracy on every driver: GLSL's own may be off by many units in the last place.
// In: F, I, U, B (a float, int, uint and bool type of one width) and LT(a, b). Out: a_exp, a_log, ... on F. Included once per width.
// Polynomials: exp, log, tanh, sin, cos after Moshier's Cephes; erf after Juffa's erff.

F a_exp(F x)
{
    F t = mix(x, F(89.0), LT(F(89.0), x));
    t = mix(t, F(-104.0), LT(t, F(-104.0)));
    F n = floor(t * 1.44269504088896341 + 0.5);
    F r = t - n * 0.693359375;
    r = r + n * 2.12194440e-4;
    F p = r * 1.9875691500e-4 + 1.3981999507e-3;
    p = p * r + 8.3334519073e-3;
    p = p * r + 4.1665795894e-2;
    p = p * r + 1.6666665459e-1;
    p = p * r + 5.0000001201e-1;
    p = p * (r * r) + r + 1.0;
    // 2^n in two factors: n = 128 and the subnormals are out of one factor's reach.
    I whole = I(n);
    I half_n = whole >> 1;
    F a = intBitsToFloat((half_n + 127) << 23);
    F b = intBitsToFloat((whole - half_n + 127) << 23);
    return p * a * b;
}

F a_log(F x)
{
    B tiny = LT(x, F(1.17549435e-38));
    F t = mix(x, x * 8388608.0, tiny);
    I bits = floatBitsToInt(t);
    I e = ((bits >> 23) & 255) - 126;
    F m = intBitsToFloat((bits & 0x007fffff) | 0x3f000000); // [0.5, 1)
    B low = LT(m, F(0.70710678));
    e = e - mix(I(0), I(1), low) - mix(I(0), I(23), tiny);
    F f = mix(m, m + m, low) - 1.0;
    F z = f * f;
    F p = f * 7.0376836292e-2 - 1.1514610310e-1;
    p = p * f + 1.1676998740e-1;
    p = p * f - 1.2420140846e-1;
    p = p * f + 1.4249322787e-1;
    p = p * f - 1.6668057665e-1;
    p = p * f + 2.0000714765e-1;
    p = p * f - 2.4999993993e-1;
    p = p * f + 3.3333331174e-1;
    F n = F(e);
    F y = p * f * z + n * -2.12194440e-4 - 0.5 * z;
    F r = f + y + n * 0.693359375;
    r = mix(r, x, LT(F(3.4028235e38), x)); // log(inf) = inf
    r = mix(r, intBitsToFloat(I(0x7fc00000)), LT(x, F(0.0)));
    r = mix(r, intBitsToFloat(I(-8388608)), EQ(x, F(0.0)));
    return mix(x + x, r, EQ(x, x)); // NaN stays
}

F a_pow(F x, F y)
{
    F r = a_exp(y * a_log(x));
    r = mix(r, F(1.0), EQ(y, F(0.0)));
    return r;
}

F a_tanh(F x)
{
    F a = abs(x);
    F z = x * x;
    F p = z * -5.70498872745e-3 + 2.06390887954e-2;
    p = p * z - 5.37397155531e-2;
    p = p * z + 1.33314422036e-1;
    p = p * z - 3.33332819422e-1;
    F small = p * z * x + x;
    F large = 1.0 - 2.0 / (a_exp(a + a) + 1.0);
    large = mix(large, -large, LT(x, F(0.0)));
    return mix(large, small, LT(a, F(0.625)));
}

F a_erf(F x)
{
    F t = abs(x);
    F s = x * x;
    F r = t * -1.72853470e-5 + 3.83197126e-4;
    F u = t * -3.88396438e-3 + 2.42546219e-2;
    r = r * s + u;
    r = r * t - 1.06777877e-1;
    r = r * t - 6.34846687e-1;
    r = r * t - 1.28717512e-1;
    r = r * t - t;
    r = 1.0 - a_exp(r);
    r = mix(r, F(1.0), LT(F(4.0), t)); // the polynomial turns over far out
    F large = mix(r, -r, LT(x, F(0.0)));
    F p = s * -5.96761703e-4 + 4.99119423e-3;
    p = p * s - 2.67681349e-2;
    p = p * s + 1.12819925e-1;
    p = p * s - 3.76125336e-1;
    p = p * s + 1.28379166e-1;
    return mix(large, p * x + x, LT(t, F(0.927734375)));
}

// sin(r) and cos(r) for |r| <= pi/4
F a_sin_core(F r)
{
    F z = r * r;
    F p = z * -1.9515295891e-4 + 8.3321608736e-3;
    p = p * z - 1.6666654611e-1;
    return p * z * r + r;
}

F a_cos_core(F r)
{
    F z = r * r;
    F p = z * 2.443315711809948e-5 - 1.388731625493765e-3;
    p = p * z + 4.166664568298827e-2;
    return p * z * z - 0.5 * z + 1.0;
}

// sin(r + quadrant * pi/2)
F a_sin_quadrant(F r, I quadrant)
{
    F v = mix(a_sin_core(r), a_cos_core(r), NE(quadrant & 1, I(0)));
    return mix(v, -v, NE(quadrant & 2, I(0)));
}

// x - n pi/2. pi/2 comes in parts of few bits and n in two halves, so that every product and difference but the last is exact
// for |n| < 2^26.
F a_reduce(F x, F n)
{
    F high = trunc(n * (1.0 / 4096.0)) * 4096.0;
    F low = n - high;
    F r = x - high * 1.5703125;
    r = r - low * 1.5703125;
    r = r - high * 4.8351287841796875e-4;
    r = r - low * 4.8351287841796875e-4;
    r = r - high * 3.13855707645416259765625e-7;
    r = r - low * 3.13855707645416259765625e-7;
    return r - n * 6.0771005065061922e-11;
}

F a_sin(F x)
{
    F n = floor(x * 0.63661977236758134 + 0.5);
    return a_sin_quadrant(a_reduce(x, n), I(n));
}

F a_cos(F x)
{
    F n = floor(x * 0.63661977236758134 + 0.5);
    return a_sin_quadrant(a_reduce(x, n), I(n) + 1);
}

// cos(2 pi u) for u in [0, 1): the reduction is exact
F a_cos_turns(F u)
{
    F n = floor(u * 4.0 + 0.5);
    return a_sin_quadrant((u * 4.0 - n) * 1.57079632679489662, I(n) + 1);
}

I a_floordiv(I a, I b)
{
    I q = a / b;
    I r = a - q * b;
    B off = AND(NE(r, I(0)), LT(r ^ b, I(0)));
    return q - mix(I(0), I(1), off);
}

I a_mod(I a, I b)
{
    return a - a_floordiv(a, b) * b;
}
