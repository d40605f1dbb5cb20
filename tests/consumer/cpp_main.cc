#include "kaio/safe/kaio.hpp"

int main() {
    kaio_queue_options options = {};
    options.depth = 1;
    kaio::queue queue;
    kaio_status status = kaio::queue::open(options, &queue);
    if (!kaio_status_is_ok(status)) {
        return 1;
    }
    status = queue.close();
    return kaio_status_is_ok(status) && !queue ? 0 : 1;
}
