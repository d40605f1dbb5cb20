// kaio/safe/thread.h (private): who is calling.
//
// A thread that uses the library has a number of its own, from 1; when it ends, what was bound to
// it is unbound first, and then the number may be given to another.

#ifndef KAIO_SAFE_THREAD_H_
#define KAIO_SAFE_THREAD_H_

#include <stdatomic.h>
#include <stdint.h>

#include "table.h"

enum { KAIO_THREAD_POSTS = 5, KAIO_POST_LISTED = 1, KAIO_POST_UNLISTED = 2 };

// A kaio_thread is the public half of a thread: others may leave something for it.
struct kaio_thread {
    _Alignas(64) struct kaio_place place;
    _Atomic uint32_t has_post;  // others dropped buffers that are bound to it: KAIO_POST_*
    _Atomic uintptr_t posts[KAIO_THREAD_POSTS];  // their handles, as many as fit
};

// kaio_thread_enroll gives the calling thread its number, or KAIO_NO_THREAD, which owns nothing,
// when there is no memory for one.
#define KAIO_NO_THREAD UINT32_MAX
uint32_t kaio_thread_enroll(void);

static inline uint32_t kaio_thread_number(void) {
    uint32_t number = kaio_self.thread_number;
    return KAIO_LIKELY(number != 0) ? number : kaio_thread_enroll();
}

// kaio_thread_at returns the thread `number`, or NULL when there never was one.
struct kaio_thread *kaio_thread_at(uint32_t number);

// kaio_thread_at_exit has `hook` called with the number of each thread that ends from now on, in
// that thread. At most 4 hooks; the same one counts once.
void kaio_thread_at_exit(void (*hook)(uint32_t number));

#endif  // KAIO_SAFE_THREAD_H_
