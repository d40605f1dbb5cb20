// kaio/safe/handle.h: the name of every object of the safe layer.
//
// A handle looks like a pointer and is none: its bits name a kind, a place in a table that is never
// unmapped, and the life of that place. It is never dereferenced, by anyone. A handle that outlived
// its object, that belongs to another kind, or that was made up answers KAIO_STALE.
// On 64-bit machines a life has 36 bits and a table 2^24 places; on 32-bit ones 14 and 14. Queues,
// files and buffers retire a place whose lives are spent; the places of requests, and the frames of
// regions and pools, start again from 0, so there a handle is mistaken for another only after that
// many requests in one place, or takes of one frame.

#ifndef KAIO_SAFE_HANDLE_H_
#define KAIO_SAFE_HANDLE_H_

#include <stdint.h>

#include "kaio/safe/base.h"

KAIO_BEGIN_DECLS

typedef struct kaio_queue kaio_queue;    // a kernel context and the requests in it; one thread's
typedef struct kaio_file kaio_file;      // an owned or borrowed descriptor
typedef struct kaio_buffer kaio_buffer;  // exclusive bytes: the caller's or one request's
typedef struct kaio_view kaio_view;      // a share of a frozen buffer: read-only
typedef struct kaio_region kaio_region;  // memory of yours in frames, registered once
typedef struct kaio_pool kaio_pool;      // memory in frames, the library's
typedef struct kaio_read kaio_read;      // idle requests, one type for each operation
typedef struct kaio_write kaio_write;
typedef struct kaio_readv kaio_readv;
typedef struct kaio_writev kaio_writev;
typedef struct kaio_sync kaio_sync;
typedef struct kaio_poll kaio_poll;

// A kaio_ticket names one request from push to take; 0 is none. It is weak: it keeps nothing alive,
// and once the request was taken it is stale.
typedef struct kaio_ticket {
    uint64_t bits;
} kaio_ticket;

KAIO_END_DECLS

#endif  // KAIO_SAFE_HANDLE_H_
