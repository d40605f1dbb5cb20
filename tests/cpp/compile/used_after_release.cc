// An owner is used after its object was released or moved. -DOWNER=... -DUSE=... -DGIVE=0 or 1.

#include <utility>

#include "kaio/safe/kaio.hpp"

void used_after_release(kaio::OWNER owner);

void used_after_release(kaio::OWNER owner) {
#ifdef OK
    (void)owner.USE;
#endif
#if GIVE
    const kaio::OWNER other = std::move(owner);
#else
    owner.reset();
#endif
#ifndef OK
    (void)owner.USE;
#endif
}
