// kaio/safe/eventfd.h (private): an eventfd that is readable or is not: how often is nobody's
// business.
//
// Nothing here touches errno or is a cancellation point; raising is async-signal-safe.

#ifndef KAIO_SAFE_EVENTFD_H_
#define KAIO_SAFE_EVENTFD_H_

// kaio_eventfd_make returns 0 or an errno.
int kaio_eventfd_make(int *out_fd);

// kaio_eventfd_raise makes `fd` readable.
void kaio_eventfd_raise(int fd);

// kaio_eventfd_lower makes `fd` not readable, until it is raised again.
void kaio_eventfd_lower(int fd);

// kaio_eventfd_close closes `fd`; -1 does nothing.
void kaio_eventfd_close(int fd);

#endif  // KAIO_SAFE_EVENTFD_H_
