// tools/kaio/progress.h: the line on a terminal that says how far a command has come.
//
// There is one line in a process. It is drawn five times a second on stderr, by whoever waits, and
// cleared when the work or the message that interrupts it comes. Not allowed, all of this is
// nothing.

#ifndef KAIO_TOOLS_KAIO_PROGRESS_H_
#define KAIO_TOOLS_KAIO_PROGRESS_H_

#include <stdint.h>

#include "kaio/safe/queue.h"

// progress_allow draws the line from now on if stderr is a terminal.
void progress_allow(void);

// progress_begin starts to count to `total_bytes`; 0 is a stage of unknown length. `verb` stays the
// caller's and must last.
void progress_begin(const char *verb, uint64_t total_bytes);

// progress_add counts `bytes` more.
void progress_add(uint64_t bytes);

// progress_deadline is when the line wants to be drawn again: never, when there is none.
kaio_deadline progress_deadline(void);

// progress_draw draws the line if that is due.
void progress_draw(void);

// progress_clear wipes the line away; the next drawing brings it back.
void progress_clear(void);

// progress_end wipes the line away and stops counting.
void progress_end(void);

#endif  // KAIO_TOOLS_KAIO_PROGRESS_H_
