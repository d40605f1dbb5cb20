#include "kaio/safe/slots.h"

int main(void) {
    return 0;
}
