// A request is pushed twice through the same owner. -DKIND=read, writev, poll, ...

#include <utility>

#include "kaio/safe/kaio.hpp"

void double_push(kaio::KIND::handle_type *handle);

void double_push(kaio::KIND::handle_type *handle) {
    kaio::KIND request(handle);
    std::move(request).push(1);
#ifndef OK
    std::move(request).push(2);
#endif
}
