// kaio/safe/kernel.h (private): the one door to the kernel, chosen when the library is built.
//
// The product calls the raw layer, inline. //safe:sim is built with KAIO_SIM and calls the
// simulated kernel of sim/sim.c instead: the same sources on top of it.

#ifndef KAIO_SAFE_KERNEL_H_
#define KAIO_SAFE_KERNEL_H_

#include "kaio/raw/aio_abi.h"

#ifdef KAIO_SIM

long kaio_sim_setup(unsigned nr_events, kaio_raw_context *out_ctx);
long kaio_sim_destroy(kaio_raw_context ctx);
long kaio_sim_submit(kaio_raw_context ctx, long nr, struct kaio_raw_iocb **iocbs);
long kaio_sim_cancel(kaio_raw_context ctx, struct kaio_raw_iocb *iocb,
                     struct kaio_raw_event *result);
long kaio_sim_getevents(kaio_raw_context ctx, long min_nr, long nr,
                        struct kaio_raw_event *out_events, struct kaio_raw_old_timespec *timeout);
long kaio_sim_pgetevents(kaio_raw_context ctx, long min_nr, long nr,
                         struct kaio_raw_event *out_events, struct kaio_raw_timespec *timeout,
                         const struct kaio_raw_sigset *sigset);

int64_t kaio_sim_now_ns(void);

#    define kaio_kernel_setup kaio_sim_setup
#    define kaio_kernel_destroy kaio_sim_destroy
#    define kaio_kernel_submit kaio_sim_submit
#    define kaio_kernel_cancel kaio_sim_cancel
#    define kaio_kernel_getevents kaio_sim_getevents
#    define kaio_kernel_pgetevents kaio_sim_pgetevents

#else

#    include "kaio/raw/aio_syscall.h"

#    define kaio_kernel_setup kaio_raw_setup
#    define kaio_kernel_destroy kaio_raw_destroy
#    define kaio_kernel_submit kaio_raw_submit
#    define kaio_kernel_cancel kaio_raw_cancel
#    define kaio_kernel_getevents kaio_raw_getevents
#    define kaio_kernel_pgetevents kaio_raw_pgetevents

#endif

#endif  // KAIO_SAFE_KERNEL_H_
