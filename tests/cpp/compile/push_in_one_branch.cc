// A request that one branch pushed is pushed again where the branches meet.

#include <utility>

#include "kaio/safe/kaio.hpp"

void push_in_one_branch(kaio::write write, bool early);

void push_in_one_branch(kaio::write write, bool early) {
    if (early) {
        std::move(write).push(1);
#ifndef OK
        std::move(write).push(2);
#else
        return;
#endif
    }
    std::move(write).push(3);
}
