// A request is pushed through an owner that gave it to another one. -DKIND=read, poll, ...

#include <utility>

#include "kaio/safe/kaio.hpp"

void push_after_move(kaio::KIND::handle_type *handle);

void push_after_move(kaio::KIND::handle_type *handle) {
    kaio::KIND request(handle);
    kaio::KIND other = std::move(request);
#ifndef OK
    std::move(request).push(1);
#endif
    std::move(other).push(2);
}
