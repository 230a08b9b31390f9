/* SPDX-License-Identifier: Apache-2.0 */
/* Standard input, output and error. Thread: main. */
#ifndef EBB_LIB_STANDARD_STREAMS_H
#define EBB_LIB_STANDARD_STREAMS_H

/*
 * Called first in main(). Opens them on /dev/null if they are closed, so that no file that ebb opens takes the place of
 * one of them. From then on a reader that leaves, or a file that may not grow (ulimit -f), is an error of write(2), not
 * a signal. Returns 0 or -errno.
 */
int standard_streams_open(void);

#endif
