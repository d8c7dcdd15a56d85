#ifndef RC_VMATH_H
#define RC_VMATH_H
RC_INLINE vec v_tanh(vec x){
#if RC_F32
  vec ax=v_min(v_set1(20.f), v_abs(x)); const real magic=12582912.0f; const int deg=8;
  vec y=v_add(ax,ax); vec t=v_fma(y,v_set1(1.44269504f),v_set1(magic)); vec n=v_sub(t,v_set1(magic));
  vec r=v_fnma(n,v_set1(0.693359375f),y); r=v_fnma(n,v_set1(-2.12194440e-4f),r);
#else
  vec ax=v_min(v_set1(40.), v_abs(x)); const real magic=6755399441055744.0; const int deg=14;
  vec y=v_add(ax,ax); vec t=v_fma(y,v_set1(1.4426950408889634),v_set1(magic)); vec n=v_sub(t,v_set1(magic));
  vec r=v_fnma(n,v_set1(0.6931471805599453),y); r=v_fnma(n,v_set1(2.3190468138462996e-17),r);
#endif
  double f=1; double c[16]; for(int k=1;k<=deg;k++){f*=k;c[k]=1/f;}
  vec p=v_set1((real)c[deg]); for(int k=deg-1;k>=1;k--) p=v_fma(p,r,v_set1((real)c[k])); p=v_mul(p,r);
  vec s=v_exp2i(t); vec e=v_fma(s,p,v_sub(s,v_set1(1)));
  return v_copysign(v_div(e,v_add(e,v_set1(2))),x);
}
RC_INLINE vec v_sigmoid(vec x){ return v_fma(v_set1((real).5),v_tanh(v_mul(v_set1((real).5),x)),v_set1((real).5)); }
RC_INLINE vec v_dtanh(vec t){ return v_fnma(t,t,v_set1(1)); }
RC_INLINE vec v_dsigmoid(vec s){ return v_fnma(s,s,s); }
#endif
