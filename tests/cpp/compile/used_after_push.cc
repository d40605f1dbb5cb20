// A request is used after it was pushed. -DUSE=... is a call on it.

#include <utility>

#include "kaio/safe/kaio.hpp"

void used_after_push(kaio::read read, kaio::file &file, kaio::buffer &buffer, kaio::write &write);

void used_after_push(kaio::read read, kaio::file &file, kaio::buffer &buffer, kaio::write &write) {
    (void)file;
    (void)buffer;
    (void)write;
#ifdef OK
    kaio_ignore(read.USE);
#endif
    std::move(read).push(1);
#ifndef OK
    kaio_ignore(read.USE);
#endif
}
