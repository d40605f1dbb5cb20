// What the types do not allow. -DCASE=...

#include <utility>

#include "kaio/safe/kaio.hpp"

void wrong_use(kaio::queue &queue, kaio::file &file, kaio::buffer buffer, kaio::read read,
               kaio::completion done, kaio_ticket *ticket);

void wrong_use(kaio::queue &queue, kaio::file &file, kaio::buffer buffer, kaio::read read,
               kaio::completion done, kaio_ticket *ticket) {
    const bool has_all = queue && file && buffer && read && done.get() != nullptr;
    *ticket = has_all ? done.ticket : kaio_ticket();
#ifndef OK
#    if CASE == 1
    kaio::buffer copy = buffer;
#    elif CASE == 2
    kaio::completion copy = done;
#    elif CASE == 3
    read.push(1);
#    elif CASE == 4
    kaio_ignore(kaio::read::start(file, queue, {}, kaio_rw_none(), 1, &buffer, ticket));
#    elif CASE == 5
    kaio_ignore(kaio::write::start(queue, file, {}, kaio_rw_none(), 1, &read, ticket));
#    elif CASE == 6
    kaio::write write = std::move(read);
#    elif CASE == 7
    kaio::buffer same = done.get()->buffer;
#    elif CASE == 8
    kaio_completion copy = done;
#    elif CASE == 9
    kaio_completion_drop(&done);
#    elif CASE == 10
    read.reset(buffer.release());
#    endif
#endif
}
