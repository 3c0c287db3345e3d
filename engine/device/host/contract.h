/* Between contract.c, product.c and blas.c.
 * In: contraction kernels. Out: the fast ways to run them, where there is one. */
#ifndef ANL_DEVICE_HOST_CONTRACT_H
#define ANL_DEVICE_HOST_CONTRACT_H

#include "device/host/host.h"

/* The instructions after the sums. block 0: any shape; else blocks that start at multiples of granule. */
host_body *anl_host_contract_tail(const host_make *make, const anl_kernel *kernel, int block, int64_t granule);
/* The fast way for float32, or NULL where the plain way must do. */
host_kernel *anl_host_product_new(const host_make *make, const anl_kernel *kernel);
/* The same for large plain matrix products, through OpenBLAS. */
host_kernel *anl_host_blas_new(const host_make *make, const anl_kernel *kernel);

#endif
