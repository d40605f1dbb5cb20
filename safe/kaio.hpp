// kaio/safe/kaio.hpp: the safe layer for C++: owners that drop what they have, under the C names.
//
// kaio_queue * is kaio::queue, kaio_queue_flush(queue, &report) is queue.flush(&report), and
// kaio_x_new is kaio::x::make, since `new` is a keyword; the C header is the reference of each.
// In a call `&x` is given away or filled if the answer is OK, and unchanged if not; `std::move(x)`
// is gone whatever happens. What an owner had when it is filled or assigned to is dropped. Nothing
// throws; a handler that does ends in std::terminate. C++11 and newer. clang's -Wconsumed finds
// what is used after it was given away.

#ifndef KAIO_SAFE_KAIO_HPP_
#define KAIO_SAFE_KAIO_HPP_

#include <stdio.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include "kaio/safe/kaio.h"

// What clang's -Wconsumed knows of an owner: it has no object any more (consumed), or that depends
// on an answer (unknown). Empty for other compilers.
#ifdef __clang__
#    define KAIO_OWNER [[clang::consumable(unknown)]]
#    define KAIO_MAY_HAVE [[clang::return_typestate(unknown)]]
#    define KAIO_NEEDS [[clang::callable_when("unconsumed", "unknown")]]
#    define KAIO_GIVES [[clang::set_typestate(consumed)]]
#    define KAIO_MAY_GIVE [[clang::set_typestate(unknown)]]
#    define KAIO_TELLS [[clang::test_typestate(unconsumed)]]
#else
#    define KAIO_OWNER
#    define KAIO_MAY_HAVE
#    define KAIO_NEEDS
#    define KAIO_GIVES
#    define KAIO_MAY_GIVE
#    define KAIO_TELLS
#endif

namespace kaio {

// An owner has the object of one handle, or none, and drops it in the end: as std::unique_ptr, and
// of the same size. kaio::queue and the others below are owners.
template <typename Handle, void (*kDrop)(Handle **)>
class KAIO_OWNER owner {
  public:
    using handle_type = Handle;

    // Has none.
    KAIO_MAY_HAVE owner() noexcept : handle_(nullptr) {}

    // Has the object of `move_handle` from now on.
    explicit owner(Handle *move_handle) noexcept : handle_(move_handle) {}

    owner(owner &&other) noexcept : handle_(other.release()) {}

    owner &operator=(owner &&other) noexcept {
        reset(other.release());
        return *this;
    }

    owner(const owner &) = delete;
    owner &operator=(const owner &) = delete;

    ~owner() {
        drop(handle_);
    }

    // get lends the handle, for calls of the C layer; nullptr when there is none.
    Handle *get() const noexcept {
        return handle_;
    }

    // release gives the handle away: nobody drops it from here on.
    KAIO_GIVES Handle *release() noexcept {
        Handle *const handle = handle_;
        handle_ = nullptr;
        return handle;
    }

    // reset drops what the owner has.
    KAIO_GIVES void reset() noexcept {
        drop(release());
    }

    // reset drops what the owner has, and has the object of `move_handle` from now on.
    KAIO_MAY_GIVE void reset(Handle *move_handle) noexcept {
        Handle *const old = handle_;
        handle_ = move_handle;
        drop(old);
    }

    // Whether there is a handle; its object may be gone all the same (KAIO_STALE).
    KAIO_TELLS explicit operator bool() const noexcept {
        return handle_ != nullptr;
    }

    // as_move lends the place of the handle, for a parameter `move_x` of the C layer.
    static Handle **as_move(owner *of) noexcept {
        return of == nullptr ? nullptr : &of->handle_;
    }

    // fill calls `call` with a parameter `out_x` of the C layer. What it writes there `out` has
    // from now on, and what `out` had is dropped.
    template <typename Call>
    KAIO_MUST_USE static kaio_status fill(owner *out, Call call) noexcept {
        Handle *handle = nullptr;
        const kaio_status status = call(out == nullptr ? nullptr : &handle);
        if (kaio_status_is_ok(status)) {
            out->reset(handle);
        }
        return status;
    }

  private:
    // By value: the optimiser sees that nobody else has the address of the handle.
    static void drop(Handle *handle) noexcept {
        if (handle != nullptr) {
            kDrop(&handle);
        }
    }

    Handle *handle_;
};

class read;
class write;
class readv;
class writev;
class view;
class completion;

// A kernel context and the requests in it: queue.h.
class KAIO_OWNER queue : public owner<kaio_queue, kaio_queue_drop> {
  public:
    using owner::owner;
    KAIO_MAY_HAVE queue() noexcept = default;

    KAIO_MUST_USE static kaio_status open(const kaio_queue_options &options,
                                          queue *out_queue) noexcept {
        return fill(out_queue, [&](kaio_queue **out) { return kaio_queue_open(&options, out); });
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status flush(kaio_flush_report *out_report) noexcept {
        return kaio_queue_flush(get(), out_report);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status wait(uint32_t min_count, kaio_deadline deadline,
                                              uint32_t *out_ready_count) noexcept {
        return kaio_queue_wait(get(), min_count, deadline, out_ready_count);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status wait_masked(uint32_t min_count, kaio_deadline deadline,
                                                     kaio_signals blocked,
                                                     uint32_t *out_ready_count) noexcept {
        return kaio_queue_wait_masked(get(), min_count, deadline, blocked, out_ready_count);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status take(completion *out_completion) noexcept;

    // The segments stay in the caller's array, which outlives the completion: declare it first. It
    // may be the array of the last take, if `*out_completion` is what was taken there: what that
    // still had is dropped.
    KAIO_NEEDS KAIO_MUST_USE kaio_status take_segments(kaio_segment *out_segments,
                                                       uint32_t capacity,
                                                       completion *out_completion) noexcept;

    KAIO_NEEDS KAIO_MUST_USE kaio_status as_fd(int *out_fd) const noexcept {
        return kaio_queue_as_fd(get(), out_fd);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status cancel(kaio_ticket ticket,
                                                kaio_cancel_answer *out_answer) noexcept {
        return kaio_queue_cancel(get(), ticket, out_answer);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status set_deadline(kaio_ticket ticket,
                                                      kaio_deadline deadline) noexcept {
        return kaio_queue_set_deadline(get(), ticket, deadline);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status take_late(kaio_late *out_late) noexcept {
        return kaio_queue_take_late(get(), out_late);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status next_deadline(kaio_deadline *out_deadline) noexcept {
        return kaio_queue_next_deadline(get(), out_deadline);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status count(kaio_queue_counts *out_counts) noexcept {
        return kaio_queue_count(get(), out_counts);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status counters_read(kaio_queue_counters *out_counters) noexcept {
        return kaio_queue_counters_read(get(), out_counters);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status submit_latency_read(kaio_latency *out_latency) noexcept {
        return kaio_queue_submit_latency_read(get(), out_latency);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status latency_read(kaio_operation operation,
                                                      kaio_latency *out_latency) noexcept {
        return kaio_queue_latency_read(get(), operation, out_latency);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status dump(FILE *stream) noexcept {
        return kaio_queue_dump(get(), stream);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status detach() noexcept {
        return kaio_queue_detach(get());
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status attach() noexcept {
        return kaio_queue_attach(get());
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status drain(kaio_deadline deadline,
                                               kaio_queue_counts *out_left) noexcept {
        return kaio_queue_drain(get(), deadline, out_left);
    }

    // In these a queue that is gone leaves none here, as where `&x` is given.
    KAIO_NEEDS KAIO_MAY_GIVE KAIO_MUST_USE kaio_status close() noexcept {
        return kaio_queue_close(as_move(this));
    }

    KAIO_NEEDS KAIO_MAY_GIVE KAIO_MUST_USE kaio_status
    destroy(kaio_destroy_report *out_report) noexcept {
        return kaio_queue_destroy(as_move(this), nullptr, nullptr, out_report);
    }

    // `on_lost(done)` is called with a kaio::completion &: it moves the buffer out, or leaves it to
    // be dropped. What it throws ends in std::terminate, and so does a `done` with segments that is
    // moved away: they are gone when it returns.
    template <typename OnLost>
    KAIO_NEEDS KAIO_MAY_GIVE KAIO_MUST_USE kaio_status
    destroy(OnLost &&on_lost, kaio_destroy_report *out_report) noexcept;

    // An array of owners is one of handles: OK leaves none in any of them.
    KAIO_MUST_USE static kaio_status destroy_all(queue *move_queues, uint32_t count,
                                                 kaio_destroy_report *out_report) noexcept {
        return kaio_queue_destroy_all(as_move(move_queues), count, nullptr, nullptr, out_report);
    }

    template <typename OnLost>
    KAIO_MUST_USE static kaio_status destroy_all(queue *move_queues, uint32_t count,
                                                 OnLost &&on_lost,
                                                 kaio_destroy_report *out_report) noexcept;

    // run calls the members of `handlers`, each as far as there is one:
    //   void on_read(uint64_t user, kaio::read_result &result);
    //   void on_write(uint64_t user, kaio::write_result &result);
    //   void on_readv(uint64_t user, kaio::completion &done);
    //   void on_writev(uint64_t user, kaio::completion &done);
    //   void on_sync(uint64_t user, const kaio_sync_result &result);
    //   void on_poll(uint64_t user, const kaio_poll_result &result);
    //   void on_late(const kaio_late &late);
    //   kaio_turn on_turn();
    // One with another signature does not compile. What they throw ends in std::terminate, and so
    // does a `done` that is moved away: its segments are gone when the handler returns.
    template <typename Handlers>
    KAIO_NEEDS KAIO_MUST_USE kaio_status run(Handlers &handlers, kaio_deadline deadline,
                                             kaio_run_report *out_report) noexcept;

    // Another thread calls kaio_queue_wake with what `get` answered here: an owner is one thread's.
    KAIO_NEEDS void wake() noexcept {
        kaio_queue_wake(get());
    }
};

// An owned or borrowed descriptor: file.h.
class KAIO_OWNER file : public owner<kaio_file, kaio_file_drop> {
  public:
    using owner::owner;
    KAIO_MAY_HAVE file() noexcept = default;

    KAIO_MUST_USE static kaio_status open(const char *path, int flags, mode_t mode,
                                          file *out_file) noexcept {
        return fill(out_file,
                    [=](kaio_file **out) { return kaio_file_open(path, flags, mode, out); });
    }

    KAIO_MUST_USE static kaio_status adopt(int fd, file *out_file) noexcept {
        return fill(out_file, [=](kaio_file **out) { return kaio_file_adopt(fd, out); });
    }

    KAIO_MUST_USE static kaio_status borrow(int fd, file *out_file) noexcept {
        return fill(out_file, [=](kaio_file **out) { return kaio_file_borrow(fd, out); });
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status as_fd(int *out_fd) const noexcept {
        return kaio_file_as_fd(get(), out_fd);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status alignment(kaio_alignment *out_alignment) const noexcept {
        return kaio_file_alignment(get(), out_alignment);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status allow_stall() noexcept {
        return kaio_file_allow_stall(get());
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status set_fail_fast(bool is_on) noexcept {
        return kaio_file_set_fail_fast(get(), is_on);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status clear_sync_error(int32_t *out_error) noexcept {
        return kaio_file_clear_sync_error(get(), out_error);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status attach(queue &queue) noexcept {
        return kaio_file_attach(get(), queue.get());
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status detach(queue &queue) noexcept {
        return kaio_file_detach(get(), queue.get());
    }

    KAIO_NEEDS KAIO_MAY_GIVE KAIO_MUST_USE kaio_status close() noexcept {
        return kaio_file_close(as_move(this));
    }
};

// Between what can be called with (void *bytes, size_t size_bytes) and the C layer.
template <typename OnRelease>
void release_call(void *context, void *bytes, size_t size_bytes) noexcept {
    (*static_cast<OnRelease *>(context))(bytes, size_bytes);
}

// Exclusive bytes, the caller's or one request's: buffer.h.
class KAIO_OWNER buffer : public owner<kaio_buffer, kaio_buffer_drop> {
  public:
    using owner::owner;
    KAIO_MAY_HAVE buffer() noexcept = default;

    KAIO_MUST_USE static kaio_status make(size_t size_bytes, size_t align_bytes,
                                          buffer *out_buffer) noexcept {
        return fill(out_buffer, [=](kaio_buffer **out) {
            return kaio_buffer_new(size_bytes, align_bytes, out);
        });
    }

    KAIO_MUST_USE static kaio_status adopt(void *bytes, size_t size_bytes,
                                           buffer *out_buffer) noexcept {
        return fill(out_buffer, [=](kaio_buffer **out) {
            return kaio_buffer_adopt(bytes, size_bytes, nullptr, nullptr, out);
        });
    }

    // `*on_release` stays where it is until `(*on_release)(bytes, size_bytes)` is called. What that
    // throws ends in std::terminate.
    template <typename OnRelease>
    KAIO_MUST_USE static kaio_status adopt(void *bytes, size_t size_bytes, OnRelease *on_release,
                                           buffer *out_buffer) noexcept {
        return fill(out_buffer, [=](kaio_buffer **out) {
            return kaio_buffer_adopt(bytes, size_bytes, release_call<OnRelease>, on_release, out);
        });
    }

    KAIO_NEEDS KAIO_MAY_GIVE KAIO_MUST_USE kaio_status freeze(view *out_view) noexcept;

    KAIO_NEEDS uint8_t *as_bytes() const noexcept {
        return kaio_buffer_as_bytes(get());
    }

    KAIO_NEEDS size_t size() const noexcept {
        return kaio_buffer_size(get());
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status detach() noexcept {
        return kaio_buffer_detach(get());
    }
};

// A share of a frozen buffer, for many writes: view.h.
class KAIO_OWNER view : public owner<kaio_view, kaio_view_drop> {
  public:
    using owner::owner;
    KAIO_MAY_HAVE view() noexcept = default;

    KAIO_NEEDS KAIO_MUST_USE kaio_status share(view *out_view) noexcept {
        return fill(out_view, [this](kaio_view **out) { return kaio_view_share(get(), out); });
    }

    KAIO_NEEDS KAIO_MAY_GIVE KAIO_MUST_USE kaio_status thaw(buffer *out_buffer) noexcept {
        return buffer::fill(
            out_buffer, [this](kaio_buffer **out) { return kaio_view_thaw(as_move(this), out); });
    }

    KAIO_NEEDS const uint8_t *as_bytes() const noexcept {
        return kaio_view_as_bytes(get());
    }

    KAIO_NEEDS size_t size() const noexcept {
        return kaio_view_size(get());
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status detach() noexcept {
        return kaio_view_detach(get());
    }
};

inline kaio_status buffer::freeze(view *out_view) noexcept {
    return view::fill(out_view,
                      [this](kaio_view **out) { return kaio_buffer_freeze(as_move(this), out); });
}

// Frames of memory of the caller's own: region.h.
class KAIO_OWNER region : public owner<kaio_region, kaio_region_drop> {
  public:
    using owner::owner;
    KAIO_MAY_HAVE region() noexcept = default;

    // As buffer::adopt has it.
    KAIO_MUST_USE static kaio_status adopt(void *bytes, size_t frame_bytes, uint32_t frame_count,
                                           region *out_region) noexcept {
        return fill(out_region, [=](kaio_region **out) {
            return kaio_region_adopt(bytes, frame_bytes, frame_count, nullptr, nullptr, out);
        });
    }

    template <typename OnRelease>
    KAIO_MUST_USE static kaio_status adopt(void *bytes, size_t frame_bytes, uint32_t frame_count,
                                           OnRelease *on_release, region *out_region) noexcept {
        return fill(out_region, [=](kaio_region **out) {
            return kaio_region_adopt(bytes, frame_bytes, frame_count, release_call<OnRelease>,
                                     on_release, out);
        });
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status take(uint32_t frame_number, buffer *out_buffer) noexcept {
        return buffer::fill(out_buffer, [this, frame_number](kaio_buffer **out) {
            return kaio_region_take(get(), frame_number, out);
        });
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status count(kaio_region_counts *out_counts) noexcept {
        return kaio_region_count(get(), out_counts);
    }

    KAIO_NEEDS KAIO_MAY_GIVE KAIO_MUST_USE kaio_status close() noexcept {
        return kaio_region_close(as_move(this));
    }
};

// Memory in buffers of one size, the library's: pool.h.
class KAIO_OWNER pool : public owner<kaio_pool, kaio_pool_drop> {
  public:
    using owner::owner;
    KAIO_MAY_HAVE pool() noexcept = default;

    KAIO_MUST_USE static kaio_status open(const kaio_pool_options &options,
                                          pool *out_pool) noexcept {
        return fill(out_pool, [&](kaio_pool **out) { return kaio_pool_open(&options, out); });
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status take(buffer *out_buffer) noexcept {
        return buffer::fill(out_buffer,
                            [this](kaio_buffer **out) { return kaio_pool_take(get(), out); });
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status count(kaio_pool_counts *out_counts) noexcept {
        return kaio_pool_count(get(), out_counts);
    }

    KAIO_NEEDS KAIO_MAY_GIVE KAIO_MUST_USE kaio_status close() noexcept {
        return kaio_pool_close(as_move(this));
    }
};

// An idle read: read.h.
class KAIO_OWNER read : public owner<kaio_read, kaio_read_drop> {
  public:
    using owner::owner;
    KAIO_MAY_HAVE read() noexcept = default;

    KAIO_MUST_USE static kaio_status make(queue &queue, file &file, kaio_range range,
                                          kaio_rw_flags flags, buffer *move_buffer,
                                          read *out_read) noexcept {
        return fill(out_read, [&](kaio_read **out) {
            return kaio_read_new(queue.get(), file.get(), range, flags,
                                 buffer::as_move(move_buffer), out);
        });
    }

    KAIO_MUST_USE static kaio_status start(queue &queue, file &file, kaio_range range,
                                           kaio_rw_flags flags, uint64_t user, buffer *move_buffer,
                                           kaio_ticket *out_ticket) noexcept {
        return kaio_read_start(queue.get(), file.get(), range, flags, user,
                               buffer::as_move(move_buffer), out_ticket);
    }

    KAIO_MUST_USE static kaio_status rest_start(queue &queue, file &file, kaio_rw_flags flags,
                                                completion *completion,
                                                kaio_ticket *out_ticket) noexcept;

    // std::move(read).push(user): consumes always.
    KAIO_NEEDS KAIO_GIVES kaio_ticket push(uint64_t user) &&noexcept {
        kaio_read *handle = release();
        return kaio_read_push(&handle, user);
    }

    KAIO_NEEDS KAIO_MAY_GIVE KAIO_MUST_USE kaio_status abandon(buffer *out_buffer) noexcept {
        return buffer::fill(out_buffer, [this](kaio_buffer **out) {
            return kaio_read_abandon(as_move(this), out);
        });
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status set_priority(kaio_priority priority) noexcept {
        return kaio_read_set_priority(get(), priority);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status retarget(file &file, kaio_range range,
                                                  kaio_rw_flags flags) noexcept {
        return kaio_read_retarget(get(), file.get(), range, flags);
    }

    KAIO_NEEDS KAIO_MAY_GIVE KAIO_MUST_USE kaio_status into_write(write *out_write) noexcept;
};

// An idle write: write.h.
class KAIO_OWNER write : public owner<kaio_write, kaio_write_drop> {
  public:
    using owner::owner;
    KAIO_MAY_HAVE write() noexcept = default;

    KAIO_MUST_USE static kaio_status make(queue &queue, file &file, kaio_range range,
                                          kaio_rw_flags flags, buffer *move_buffer,
                                          write *out_write) noexcept {
        return fill(out_write, [&](kaio_write **out) {
            return kaio_write_new(queue.get(), file.get(), range, flags,
                                  buffer::as_move(move_buffer), out);
        });
    }

    KAIO_MUST_USE static kaio_status start(queue &queue, file &file, kaio_range range,
                                           kaio_rw_flags flags, uint64_t user, buffer *move_buffer,
                                           kaio_ticket *out_ticket) noexcept {
        return kaio_write_start(queue.get(), file.get(), range, flags, user,
                                buffer::as_move(move_buffer), out_ticket);
    }

    KAIO_MUST_USE static kaio_status rest_start(queue &queue, file &file, kaio_rw_flags flags,
                                                completion *completion,
                                                kaio_ticket *out_ticket) noexcept;

    // The same of a view; many writes may have shares of one buffer.
    KAIO_MUST_USE static kaio_status make_shared(queue &queue, file &file, kaio_range range,
                                                 kaio_rw_flags flags, view *move_view,
                                                 write *out_write) noexcept {
        return fill(out_write, [&](kaio_write **out) {
            return kaio_write_new_shared(queue.get(), file.get(), range, flags,
                                         view::as_move(move_view), out);
        });
    }

    KAIO_MUST_USE static kaio_status start_shared(queue &queue, file &file, kaio_range range,
                                                  kaio_rw_flags flags, uint64_t user,
                                                  view *move_view,
                                                  kaio_ticket *out_ticket) noexcept {
        return kaio_write_start_shared(queue.get(), file.get(), range, flags, user,
                                       view::as_move(move_view), out_ticket);
    }

    // std::move(write).push(user): consumes always.
    KAIO_NEEDS KAIO_GIVES kaio_ticket push(uint64_t user) &&noexcept {
        kaio_write *handle = release();
        return kaio_write_push(&handle, user);
    }

    KAIO_NEEDS KAIO_MAY_GIVE KAIO_MUST_USE kaio_status abandon(buffer *out_buffer) noexcept {
        return buffer::fill(out_buffer, [this](kaio_buffer **out) {
            return kaio_write_abandon(as_move(this), out);
        });
    }

    KAIO_NEEDS KAIO_MAY_GIVE KAIO_MUST_USE kaio_status abandon_shared(view *out_view) noexcept {
        return view::fill(out_view, [this](kaio_view **out) {
            return kaio_write_abandon_shared(as_move(this), out);
        });
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status set_priority(kaio_priority priority) noexcept {
        return kaio_write_set_priority(get(), priority);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status retarget(file &file, kaio_range range,
                                                  kaio_rw_flags flags) noexcept {
        return kaio_write_retarget(get(), file.get(), range, flags);
    }

    KAIO_NEEDS KAIO_MAY_GIVE KAIO_MUST_USE kaio_status into_read(read *out_read) noexcept;
};

// An idle vectored read: readv.h. Segments are the caller's array of plain handles, which move as
// in C.
class KAIO_OWNER readv : public owner<kaio_readv, kaio_readv_drop> {
  public:
    using owner::owner;
    KAIO_MAY_HAVE readv() noexcept = default;

    KAIO_MUST_USE static kaio_status make(queue &queue, file &file, uint64_t file_offset_bytes,
                                          kaio_rw_flags flags, kaio_segment *move_segments,
                                          uint32_t segment_count, readv *out_readv) noexcept {
        return fill(out_readv, [&](kaio_readv **out) {
            return kaio_readv_new(queue.get(), file.get(), file_offset_bytes, flags, move_segments,
                                  segment_count, out);
        });
    }

    KAIO_MUST_USE static kaio_status start(queue &queue, file &file, uint64_t file_offset_bytes,
                                           kaio_rw_flags flags, uint64_t user,
                                           kaio_segment *move_segments, uint32_t segment_count,
                                           kaio_ticket *out_ticket) noexcept {
        return kaio_readv_start(queue.get(), file.get(), file_offset_bytes, flags, user,
                                move_segments, segment_count, out_ticket);
    }

    KAIO_MUST_USE static kaio_status rest_start(queue &queue, file &file, kaio_rw_flags flags,
                                                completion *completion,
                                                kaio_ticket *out_ticket) noexcept;

    // std::move(readv).push(user): consumes always.
    KAIO_NEEDS KAIO_GIVES kaio_ticket push(uint64_t user) &&noexcept {
        kaio_readv *handle = release();
        return kaio_readv_push(&handle, user);
    }

    KAIO_NEEDS KAIO_MAY_GIVE KAIO_MUST_USE kaio_status
    abandon(kaio_segment *out_segments, uint32_t capacity, uint32_t *out_segment_count) noexcept {
        return kaio_readv_abandon(as_move(this), out_segments, capacity, out_segment_count);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status set_priority(kaio_priority priority) noexcept {
        return kaio_readv_set_priority(get(), priority);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status retarget(file &file, uint64_t file_offset_bytes,
                                                  kaio_rw_flags flags) noexcept {
        return kaio_readv_retarget(get(), file.get(), file_offset_bytes, flags);
    }

    KAIO_NEEDS KAIO_MAY_GIVE KAIO_MUST_USE kaio_status into_writev(writev *out_writev) noexcept;
};

// An idle vectored write: writev.h. Segments are the caller's array of plain handles, which move as
// in C.
class KAIO_OWNER writev : public owner<kaio_writev, kaio_writev_drop> {
  public:
    using owner::owner;
    KAIO_MAY_HAVE writev() noexcept = default;

    KAIO_MUST_USE static kaio_status make(queue &queue, file &file, uint64_t file_offset_bytes,
                                          kaio_rw_flags flags, kaio_segment *move_segments,
                                          uint32_t segment_count, writev *out_writev) noexcept {
        return fill(out_writev, [&](kaio_writev **out) {
            return kaio_writev_new(queue.get(), file.get(), file_offset_bytes, flags, move_segments,
                                   segment_count, out);
        });
    }

    KAIO_MUST_USE static kaio_status start(queue &queue, file &file, uint64_t file_offset_bytes,
                                           kaio_rw_flags flags, uint64_t user,
                                           kaio_segment *move_segments, uint32_t segment_count,
                                           kaio_ticket *out_ticket) noexcept {
        return kaio_writev_start(queue.get(), file.get(), file_offset_bytes, flags, user,
                                 move_segments, segment_count, out_ticket);
    }

    KAIO_MUST_USE static kaio_status rest_start(queue &queue, file &file, kaio_rw_flags flags,
                                                completion *completion,
                                                kaio_ticket *out_ticket) noexcept;

    // std::move(writev).push(user): consumes always.
    KAIO_NEEDS KAIO_GIVES kaio_ticket push(uint64_t user) &&noexcept {
        kaio_writev *handle = release();
        return kaio_writev_push(&handle, user);
    }

    KAIO_NEEDS KAIO_MAY_GIVE KAIO_MUST_USE kaio_status
    abandon(kaio_segment *out_segments, uint32_t capacity, uint32_t *out_segment_count) noexcept {
        return kaio_writev_abandon(as_move(this), out_segments, capacity, out_segment_count);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status set_priority(kaio_priority priority) noexcept {
        return kaio_writev_set_priority(get(), priority);
    }

    KAIO_NEEDS KAIO_MUST_USE kaio_status retarget(file &file, uint64_t file_offset_bytes,
                                                  kaio_rw_flags flags) noexcept {
        return kaio_writev_retarget(get(), file.get(), file_offset_bytes, flags);
    }

    KAIO_NEEDS KAIO_MAY_GIVE KAIO_MUST_USE kaio_status into_readv(readv *out_readv) noexcept;
};

// An idle sync: sync.h.
class KAIO_OWNER sync : public owner<kaio_sync, kaio_sync_drop> {
  public:
    using owner::owner;
    KAIO_MAY_HAVE sync() noexcept = default;

    KAIO_MUST_USE static kaio_status make(queue &queue, file &file, kaio_sync_kind kind,
                                          sync *out_sync) noexcept {
        return fill(out_sync, [&](kaio_sync **out) {
            return kaio_sync_new(queue.get(), file.get(), kind, out);
        });
    }

    KAIO_MUST_USE static kaio_status start(queue &queue, file &file, kaio_sync_kind kind,
                                           uint64_t user, kaio_ticket *out_ticket) noexcept {
        return kaio_sync_start(queue.get(), file.get(), kind, user, out_ticket);
    }

    // std::move(sync).push(user): consumes always.
    KAIO_NEEDS KAIO_GIVES kaio_ticket push(uint64_t user) &&noexcept {
        kaio_sync *handle = release();
        return kaio_sync_push(&handle, user);
    }

    KAIO_NEEDS KAIO_MAY_GIVE KAIO_MUST_USE kaio_status abandon() noexcept {
        return kaio_sync_abandon(as_move(this));
    }
};

// An idle poll: poll.h.
class KAIO_OWNER poll : public owner<kaio_poll, kaio_poll_drop> {
  public:
    using owner::owner;
    KAIO_MAY_HAVE poll() noexcept = default;

    KAIO_MUST_USE static kaio_status make(queue &queue, file &file, kaio_poll_events events,
                                          poll *out_poll) noexcept {
        return fill(out_poll, [&](kaio_poll **out) {
            return kaio_poll_new(queue.get(), file.get(), events, out);
        });
    }

    KAIO_MUST_USE static kaio_status start(queue &queue, file &file, kaio_poll_events events,
                                           uint64_t user, kaio_ticket *out_ticket) noexcept {
        return kaio_poll_start(queue.get(), file.get(), events, user, out_ticket);
    }

    // std::move(poll).push(user): consumes always.
    KAIO_NEEDS KAIO_GIVES kaio_ticket push(uint64_t user) &&noexcept {
        kaio_poll *handle = release();
        return kaio_poll_push(&handle, user);
    }

    KAIO_NEEDS KAIO_MAY_GIVE KAIO_MUST_USE kaio_status abandon() noexcept {
        return kaio_poll_abandon(as_move(this));
    }
};

// What a struct of the C layer has to give: the buffer of a read, the buffer or the view of a
// write; a completion also segments.
inline bool has_memory(const kaio_read_result &of) noexcept {
    return of.buffer != nullptr;
}

inline bool has_memory(const kaio_completion &of) noexcept {
    return of.buffer != nullptr || of.view != nullptr || of.segments != nullptr;
}

template <typename Struct>
bool has_memory(const Struct &of) noexcept {
    return of.buffer != nullptr || of.view != nullptr;
}

inline void forget_memory(kaio_read_result *of) noexcept {
    of->buffer = nullptr;
}

inline void forget_memory(kaio_completion *of) noexcept {
    of->buffer = nullptr;
    of->view = nullptr;
    of->segments = nullptr;
    of->segment_count = 0;
}

template <typename Struct>
void forget_memory(Struct *of) noexcept {
    of->buffer = nullptr;
    of->view = nullptr;
}

inline void drop_memory(kaio_read_result *of) noexcept {
    kaio_buffer_drop(&of->buffer);
}

inline void drop_memory(kaio_completion *of) noexcept {
    kaio_completion_drop(of);
}

template <typename Struct>
void drop_memory(Struct *of) noexcept {
    kaio_buffer_drop(&of->buffer);
    kaio_view_drop(&of->view);
}

// What kaio::completion, kaio::read_result and kaio::write_result have alike: a struct of the C
// layer that owns its buffer or view, which is moved out of it.
template <typename Struct>
class carrier : protected Struct {
  public:
    // Nothing yet: PENDING, no buffer.
    carrier() noexcept : Struct() {}

    // Owns the buffer or view of `move_struct` from now on.
    explicit carrier(const Struct &move_struct) noexcept : Struct(move_struct) {}

    carrier(carrier &&other) noexcept : Struct(other.release()) {}

    carrier &operator=(carrier &&other) noexcept {
        const Struct moved = other.release();
        drop();
        static_cast<Struct &>(*this) = moved;
        return *this;
    }

    carrier(const carrier &) = delete;
    carrier &operator=(const carrier &) = delete;

    ~carrier() {
        drop();
    }

    // move_buffer gives the buffer away; an empty owner when there is none (any more).
    kaio::buffer move_buffer() noexcept {
        kaio_buffer *const handle = Struct::buffer;
        Struct::buffer = nullptr;
        return kaio::buffer(handle);
    }

    // get lends all of it, the handle of the buffer included, for calls of the C layer.
    const Struct *get() const noexcept {
        return this;
    }

    // release gives all of it away: nobody drops the buffer from here on.
    Struct release() noexcept {
        const Struct moved = *this;
        forget_memory(as_move(this));
        return moved;
    }

    // as_move lends the place, for a parameter of the C layer that may take or fill it.
    static Struct *as_move(carrier *of) noexcept {
        return of;
    }

  private:
    void drop() noexcept {
        if (has_memory(*get())) {
            drop_memory(as_move(this));
        }
    }
};

// The same of what may have a view instead.
template <typename Struct>
class view_carrier : public carrier<Struct> {
  public:
    using carrier<Struct>::carrier;

    view_carrier() noexcept = default;

    // move_view gives the view away; an empty owner when there is none (any more).
    kaio::view move_view() noexcept {
        kaio_view *const handle = Struct::view;
        Struct::view = nullptr;
        return kaio::view(handle);
    }
};

// A kaio_completion that owns its buffer or view, with the same fields. It owns what its segments
// have, too: a handle that is taken is set to NULL there, as in C, and the rest is dropped. The
// array lives until the completion has ended, was moved away, or released.
class completion : public view_carrier<kaio_completion> {
  public:
    using kaio_completion::events;
    using kaio_completion::met_end;
    using kaio_completion::moved_bytes;
    using kaio_completion::operation;
    using kaio_completion::os_error;
    using kaio_completion::poll;
    using kaio_completion::range;
    using kaio_completion::refusal;
    using kaio_completion::segment_count;
    using kaio_completion::segments;
    using kaio_completion::sync;
    using kaio_completion::ticket;
    using kaio_completion::transfer;
    using kaio_completion::user;
    using view_carrier::view_carrier;

    completion() noexcept = default;

    size_t message(char *out_text, size_t size_bytes) const noexcept {
        return kaio_completion_message(this, out_text, size_bytes);
    }
};

// A kaio_read_result that owns its buffer, with the same fields.
class read_result : public carrier<kaio_read_result> {
  public:
    using carrier::carrier;
    using kaio_read_result::met_end;
    using kaio_read_result::moved_bytes;
    using kaio_read_result::os_error;
    using kaio_read_result::outcome;
    using kaio_read_result::range;
    using kaio_read_result::refusal;

    // For read::rest_start: the buffer is the completion's.
    completion into_completion(uint64_t user) noexcept {
        return completion(kaio_read_result_into_completion(this, user));
    }
};

// A kaio_write_result that owns its buffer or view, with the same fields.
class write_result : public view_carrier<kaio_write_result> {
  public:
    using kaio_write_result::moved_bytes;
    using kaio_write_result::os_error;
    using kaio_write_result::outcome;
    using kaio_write_result::range;
    using kaio_write_result::refusal;
    using view_carrier::view_carrier;

    // For write::rest_start: the buffer is the completion's.
    completion into_completion(uint64_t user) noexcept {
        return completion(kaio_write_result_into_completion(this, user));
    }
};

// Straight into `*out_completion`, as nothing is to be dropped there when it is used as it should.
inline kaio_status queue::take(completion *out_completion) noexcept {
    if (out_completion == nullptr || !has_memory(*out_completion->get())) {
        return kaio_queue_take(get(), completion::as_move(out_completion));
    }
    completion next;
    const kaio_status status = kaio_queue_take(get(), completion::as_move(&next));
    if (kaio_status_is_ok(status)) {
        *out_completion = std::move(next);
    }
    return status;
}

// A take into the array that `*completion` has its segments in writes over them when it succeeds,
// and changes nothing when it fails: a copy waits for the answer. Apart, for the size of the frame.
[[gnu::noinline]] inline kaio_status take_segments_over(kaio_queue *queue,
                                                        kaio_segment *out_segments,
                                                        uint32_t capacity,
                                                        completion *completion) noexcept {
    kaio_segment copies[KAIO_SEGMENT_COUNT_MAX];
    const uint32_t count = completion->segments == nullptr ? 0 : completion->segment_count;
    for (uint32_t i = 0; i < count && i < KAIO_SEGMENT_COUNT_MAX; ++i) {
        copies[i] = completion->segments[i];
    }
    kaio_completion next = {};
    const kaio_status status = kaio_queue_take_segments(queue, out_segments, capacity, &next);
    if (!kaio_status_is_ok(status)) {
        return status;
    }
    const std::less<const kaio_segment *> is_before{};
    kaio_completion old = completion->release();
    for (uint32_t i = 0; i < count; ++i) {
        kaio_segment *left = &old.segments[i];
        if (i < KAIO_SEGMENT_COUNT_MAX && !is_before(left, out_segments) &&
            is_before(left, out_segments + next.segment_count)) {
            left = &copies[i];
        }
        kaio_buffer_drop(&left->buffer);
        kaio_view_drop(&left->view);
    }
    old.segments = nullptr;
    kaio_completion_drop(&old);
    *completion = kaio::completion(next);
    return status;
}

inline kaio_status queue::take_segments(kaio_segment *out_segments, uint32_t capacity,
                                        completion *out_completion) noexcept {
    if (out_completion == nullptr || !has_memory(*out_completion->get())) {
        return kaio_queue_take_segments(get(), out_segments, capacity,
                                        completion::as_move(out_completion));
    }
    return take_segments_over(get(), out_segments, capacity, out_completion);
}

static_assert(sizeof(queue) == sizeof(kaio_queue *), "an array of owners is one of handles");

// lend calls `call` with `*lent` as a kaio::completion, and leaves there what is not moved out. The
// segments end with the call of the C layer: nothing may have them then.
template <typename Call>
void lend(kaio_completion *lent, Call call) noexcept {
    completion done(*lent);
    call(done);
    if (done.segments != lent->segments) {
        std::terminate();
    }
    const kaio_completion left = done.release();
    lent->buffer = left.buffer;
    lent->view = left.view;
}

// Between what can be called with a kaio::completion & and the C layer.
template <typename OnLost>
class lost_call {
  public:
    using function = typename std::remove_reference<OnLost>::type;

    static void call(void *context, kaio_completion *lost) noexcept {
        lend(lost, [=](completion &done) { (**static_cast<function **>(context))(done); });
    }
};

template <typename OnLost>
kaio_status queue::destroy(OnLost &&on_lost, kaio_destroy_report *out_report) noexcept {
    using call = lost_call<OnLost>;
    typename call::function *context = std::addressof(on_lost);
    return kaio_queue_destroy(as_move(this), call::call, &context, out_report);
}

template <typename OnLost>
kaio_status queue::destroy_all(queue *move_queues, uint32_t count, OnLost &&on_lost,
                               kaio_destroy_report *out_report) noexcept {
    using call = lost_call<OnLost>;
    typename call::function *context = std::addressof(on_lost);
    return kaio_queue_destroy_all(as_move(move_queues), count, call::call, &context, out_report);
}

// Between the members of a `Handlers` and the C layer: a function for each, or none where there is
// no such member. Where it lies goes through `context`.
template <typename Handlers>
class handler_calls {
  public:
    static kaio_handlers all() noexcept {
        kaio_handlers calls = {};
        calls.on_read = find_on_read<Handlers>(0);
        calls.on_write = find_on_write<Handlers>(0);
        calls.on_readv = find_on_readv<Handlers>(0);
        calls.on_writev = find_on_writev<Handlers>(0);
        calls.on_sync = find_on_sync<Handlers>(0);
        calls.on_poll = find_on_poll<Handlers>(0);
        calls.on_late = find_on_late<Handlers>(0);
        calls.on_turn = find_on_turn<Handlers>(0);
        return calls;
    }

  private:
    static Handlers &of(void *context) noexcept {
        return **static_cast<Handlers **>(context);
    }

    static void on_read(void *context, uint64_t user, kaio_read_result *result) noexcept {
        read_result lent(*result);
        of(context).on_read(user, lent);
        result->buffer = lent.move_buffer().release();
    }

    static void on_write(void *context, uint64_t user, kaio_write_result *result) noexcept {
        write_result lent(*result);
        of(context).on_write(user, lent);
        result->buffer = lent.move_buffer().release();
        result->view = lent.move_view().release();
    }

    static void on_readv(void *context, uint64_t user, kaio_completion *lent) noexcept {
        lend(lent, [=](completion &done) { of(context).on_readv(user, done); });
    }

    static void on_writev(void *context, uint64_t user, kaio_completion *lent) noexcept {
        lend(lent, [=](completion &done) { of(context).on_writev(user, done); });
    }

    static void on_sync(void *context, uint64_t user, const kaio_sync_result *result) noexcept {
        of(context).on_sync(user, *result);
    }

    static void on_poll(void *context, uint64_t user, const kaio_poll_result *result) noexcept {
        of(context).on_poll(user, *result);
    }

    static void on_late(void *context, const kaio_late *late) noexcept {
        of(context).on_late(*late);
    }

    static kaio_turn on_turn(void *context) noexcept {
        return of(context).on_turn();
    }

    // A member that can be called so, or that has the name: then the call above does not compile.
#define KAIO_FIND_HANDLER_(member, arguments)                                        \
    template <typename H, typename = decltype(std::declval<H &>().member arguments)> \
    static decltype(kaio_handlers::member) find_##member(int) noexcept {             \
        return member;                                                               \
    }                                                                                \
    template <typename H, typename = decltype(&H::member)>                           \
    static decltype(kaio_handlers::member) find_##member(long) noexcept {            \
        return member;                                                               \
    }                                                                                \
    template <typename H>                                                            \
    static decltype(kaio_handlers::member) find_##member(...) noexcept {             \
        return nullptr;                                                              \
    }
    KAIO_FIND_HANDLER_(on_read, (uint64_t(), std::declval<read_result &>()))
    KAIO_FIND_HANDLER_(on_write, (uint64_t(), std::declval<write_result &>()))
    KAIO_FIND_HANDLER_(on_readv, (uint64_t(), std::declval<completion &>()))
    KAIO_FIND_HANDLER_(on_writev, (uint64_t(), std::declval<completion &>()))
    KAIO_FIND_HANDLER_(on_late, (std::declval<const kaio_late &>()))
    KAIO_FIND_HANDLER_(on_sync, (uint64_t(), std::declval<const kaio_sync_result &>()))
    KAIO_FIND_HANDLER_(on_poll, (uint64_t(), std::declval<const kaio_poll_result &>()))
    KAIO_FIND_HANDLER_(on_turn, ())
#undef KAIO_FIND_HANDLER_
};

template <typename Handlers>
kaio_status queue::run(Handlers &handlers, kaio_deadline deadline,
                       kaio_run_report *out_report) noexcept {
    const kaio_handlers calls = handler_calls<Handlers>::all();
    Handlers *context = std::addressof(handlers);
    return kaio_queue_run(get(), &calls, &context, deadline, out_report);
}

inline kaio_status read::rest_start(queue &queue, file &file, kaio_rw_flags flags,
                                    completion *completion, kaio_ticket *out_ticket) noexcept {
    return kaio_read_rest_start(queue.get(), file.get(), flags, completion::as_move(completion),
                                out_ticket);
}

inline kaio_status write::rest_start(queue &queue, file &file, kaio_rw_flags flags,
                                     completion *completion, kaio_ticket *out_ticket) noexcept {
    return kaio_write_rest_start(queue.get(), file.get(), flags, completion::as_move(completion),
                                 out_ticket);
}

inline kaio_status readv::rest_start(queue &queue, file &file, kaio_rw_flags flags,
                                     completion *completion, kaio_ticket *out_ticket) noexcept {
    return kaio_readv_rest_start(queue.get(), file.get(), flags, completion::as_move(completion),
                                 out_ticket);
}

inline kaio_status writev::rest_start(queue &queue, file &file, kaio_rw_flags flags,
                                      completion *completion, kaio_ticket *out_ticket) noexcept {
    return kaio_writev_rest_start(queue.get(), file.get(), flags, completion::as_move(completion),
                                  out_ticket);
}

inline kaio_status read::into_write(write *out_write) noexcept {
    return write::fill(
        out_write, [this](kaio_write **out) { return kaio_read_into_write(as_move(this), out); });
}

inline kaio_status write::into_read(read *out_read) noexcept {
    return read::fill(out_read,
                      [this](kaio_read **out) { return kaio_write_into_read(as_move(this), out); });
}

inline kaio_status readv::into_writev(writev *out_writev) noexcept {
    return writev::fill(out_writev, [this](kaio_writev **out) {
        return kaio_readv_into_writev(as_move(this), out);
    });
}

inline kaio_status writev::into_readv(readv *out_readv) noexcept {
    return readv::fill(
        out_readv, [this](kaio_readv **out) { return kaio_writev_into_readv(as_move(this), out); });
}

}  // namespace kaio

#endif  // KAIO_SAFE_KAIO_HPP_
