/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console on this process's standard input and output, with a real UART behind it and a guest that
 * reads it. A test that hangs has failed: Check's own limit kills it.
 */
#ifndef EBB_TESTS_CONSOLE_BENCH_H
#define EBB_TESTS_CONSOLE_BENCH_H

#include <stddef.h>
#include <stdint.h>

#include "devices/serial/serial.h"
#include "vmm/console/console.h"

#define CONSOLE_BENCH_LIMIT_MS 10000
#define CTRL_A		       "\001"

extern struct console_bench {
	struct loop loop;
	struct serial serial;
	struct console console;
	int quits; /* how often the keys to end ebb were typed */
} console_bench;

void console_bench_start(void);
void console_bench_finish(void);

/* The guest writes to a register of its UART. */
void console_bench_out(unsigned int offset, uint8_t value);

/* Runs the loop until the guest has read what is expected, and nothing else. */
void console_bench_expect(const char *want, size_t len);

/* All of it, to @fd. */
void console_bench_write(int fd, const char *data, size_t len);

/* @fd becomes @number, and is closed itself. */
void console_bench_put(int fd, int number);

#endif
