// kaio/safe/probes.h (private): static probes for tracers, where the library is built with
// KAIO_USDT: an instruction that does nothing, and a note in the program that says where it is and
// where its arguments are. Without it there is nothing.
//
//   kaio:submit (queue, request_count, answer)   behind each io_submit(2)
//   kaio:complete (ticket, operation, result)    when an event is found; result as in io_event
//   kaio:stall (queue, took_ns, request_count)   where kaio_queue_options.on_stall is called

#ifndef KAIO_SAFE_PROBES_H_
#define KAIO_SAFE_PROBES_H_

#ifdef KAIO_USDT
#    include <sys/sdt.h>
#    ifdef __clang__  // of the macros in there
#        pragma clang diagnostic ignored "-Wgnu-zero-variadic-macro-arguments"
#    endif
#    define KAIO_PROBE(name, first, second, third) DTRACE_PROBE3(kaio, name, first, second, third)
#else
#    define KAIO_PROBE(name, first, second, third) ((void)0)
#endif

#endif  // KAIO_SAFE_PROBES_H_
