// A handler of the run loop has another signature. -DON_READ, ON_WRITE, ON_READV,
// ON_WRITEV, ON_SYNC, ON_POLL or ON_TURN.

#include "kaio/safe/kaio.hpp"

struct handlers {
#ifdef OK
    void on_read(uint64_t, kaio::read_result &) {}
    void on_write(uint64_t, kaio::write_result &) {}
    void on_readv(uint64_t, kaio::completion &) {}
    void on_writev(uint64_t, kaio::completion &) {}
    void on_sync(uint64_t, const kaio_sync_result &) {}
    void on_poll(uint64_t, const kaio_poll_result &) {}
    kaio_turn on_turn() {
        return KAIO_TURN_STOP;
    }
#elif defined(ON_READ)
    void on_read(uint64_t, kaio_read_result *) {}
#elif defined(ON_WRITE)
    void on_write(uint64_t, kaio::read_result &) {}
#elif defined(ON_READV)
    void on_readv(uint64_t, kaio::read_result &) {}
#elif defined(ON_WRITEV)
    void on_writev(uint64_t, kaio_completion *) {}
#elif defined(ON_SYNC)
    void on_sync(const kaio_sync_result &) {}
#elif defined(ON_POLL)
    void on_poll(uint64_t, kaio_poll_result &, int) {}
#elif defined(ON_TURN)
    void *on_turn() {
        return nullptr;
    }
#endif
};

kaio_status run(kaio::queue &queue, handlers &handlers, kaio_run_report *report);

kaio_status run(kaio::queue &queue, handlers &handlers, kaio_run_report *report) {
    return queue.run(handlers, kaio_deadline_never(), report);
}
