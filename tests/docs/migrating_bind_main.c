// Runs the function of docs/MIGRATING.md that reads the first bytes of a file, on standard input.

#include <stdio.h>

long read_first(int fd, char buffer[4096]);

int main(void) {
    char buffer[4096] = {0};
    long count = read_first(0, buffer);
    printf("%ld %.5s\n", count, buffer);
    return count < 0;
}
