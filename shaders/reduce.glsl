// Accumulating and joining partial results of reductions. In: F, I and friends as in math.glsl. Out: r_*; the first arguments are updated.

void r_max(inout F a, F b) { a = mix(a, b, LT(a, b)); }
void r_max(inout I a, I b) { a = mix(a, b, LT(a, b)); }

// The first greatest: the lower index wins among equals.
void r_argmax(inout F a, inout I ai, F b, I bi)
{
    B take = OR(LT(a, b), AND(EQ(a, b), LT(bi, ai)));
    a = mix(a, b, take);
    ai = mix(ai, bi, take);
}
void r_argmax(inout I a, inout I ai, I b, I bi)
{
    B take = OR(LT(a, b), AND(EQ(a, b), LT(bi, ai)));
    a = mix(a, b, take);
    ai = mix(ai, bi, take);
}

// m: the greatest so far, s: sum of exp(x - m). Equal values give exactly 1, infinite ones too.
F r_exp_below(F x, F top) { return mix(a_exp(x - top), F(1.0), EQ(x, top)); }
void r_logsumexp(inout F m, inout F s, F m2, F s2)
{
    F top = mix(m, m2, LT(m, m2));
    s = mix(s * r_exp_below(m, top), F(0.0), EQ(s, F(0.0))) + s2 * r_exp_below(m2, top);
    m = top;
}

// Mean, sum of squared deviations and count of two sets joined (Chan, Golub, LeVeque 1983).
void r_moments(inout F mean, inout F m2, inout F n, F mean2, F m22, F n2)
{
    F total = n + n2;
    F d = mean2 - mean;
    F share = n2 / total;
    mean = mean + d * share;
    m2 = m2 + m22 + d * d * (n * share);
    n = total;
}
