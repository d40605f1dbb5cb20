// kaio/safe/signals.h: a set of signals, by number, without <signal.h>.

#ifndef KAIO_SAFE_SIGNALS_H_
#define KAIO_SAFE_SIGNALS_H_

#include <stdint.h>

#include "kaio/safe/base.h"

KAIO_BEGIN_DECLS

// The largest signal number that a set has a place for. Kernel: _NSIG, 64; 128 on MIPS, where
// there are 127 signals.
#define KAIO_SIGNAL_MAX 128

// A kaio_signals is a set of signals, made by the functions below; a zeroed one is empty.
typedef struct kaio_signals {
    uint64_t bits[2];  // signal n is bit (n - 1) % 64 of word (n - 1) / 64
} kaio_signals;

// No signal.
static inline kaio_signals kaio_signals_none(void) {
    kaio_signals signals;
    signals.bits[0] = 0;
    signals.bits[1] = 0;
    return signals;
}

// Every signal. (The kernel never blocks SIGKILL and SIGSTOP.)
static inline kaio_signals kaio_signals_all(void) {
    kaio_signals signals;
    signals.bits[0] = UINT64_MAX;
    signals.bits[1] = UINT64_MAX;
    return signals;
}

// `signals` and signal `number`, which is SIGTERM or the like. Other numbers change nothing.
static inline kaio_signals kaio_signals_add(kaio_signals signals, int number) {
    if (number >= 1 && number <= KAIO_SIGNAL_MAX) {
        signals.bits[(number - 1) / 64] |= UINT64_C(1) << (number - 1) % 64;
    }
    return signals;
}

// `signals` without signal `number`. Other numbers change nothing.
static inline kaio_signals kaio_signals_remove(kaio_signals signals, int number) {
    if (number >= 1 && number <= KAIO_SIGNAL_MAX) {
        signals.bits[(number - 1) / 64] &= ~(UINT64_C(1) << (number - 1) % 64);
    }
    return signals;
}

KAIO_END_DECLS

#endif  // KAIO_SAFE_SIGNALS_H_
