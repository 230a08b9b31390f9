// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/console_bench.h"

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

struct console_bench console_bench;

/* What the guest has read, driven by the UART's interrupt as a guest's driver would be. */
static struct {
	char data[65536];
	size_t len;
	size_t stop_at; /* this many bytes stop the loop */
} guest;

static void on_interrupt(void *ctx, int level)
{
	(void)ctx;
	(void)level;
}

static void on_transmit(void *ctx, const uint8_t *data, size_t len)
{
	(void)ctx;
	console_write(&console_bench.console, data, len);
}

static void on_ready(void *ctx)
{
	(void)ctx;
	console_resume(&console_bench.console);
}

static const struct serial_host serial_host = {NULL, on_interrupt, on_transmit, on_ready};

static uint8_t in(unsigned int offset)
{
	uint8_t value;
	serial_read(&console_bench.serial, offset, &value, 1);
	return value;
}

void console_bench_out(unsigned int offset, uint8_t value)
{
	serial_write(&console_bench.serial, offset, &value, 1);
}

/* The guest's driver: FIFO on, receive interrupt on. */
static void guest_listen(void)
{
	console_bench_out(2, 0x01);
	console_bench_out(1, 0x01);
}

/* A vCPU that reads all there is until @stop_at bytes have come, then stops the loop. */
static void *guest_read(void *ctx)
{
	(void)ctx;
	while (guest.len < guest.stop_at) {
		if (in(5) & 1)
			guest.data[guest.len++] = in(0);
		else
			sched_yield();
	}
	loop_stop(&console_bench.loop);
	return NULL;
}

static size_t on_receive(void *ctx, const uint8_t *data, size_t len)
{
	(void)ctx;
	return serial_receive(&console_bench.serial, data, len);
}

static void on_quit(void *ctx)
{
	(void)ctx;
	console_bench.quits++;
	loop_stop(&console_bench.loop);
}

void console_bench_start(void)
{
	const struct console_config config = {
		.output = STDOUT_FILENO, .input = true, .receive = on_receive, .quit = on_quit};

	ck_assert_int_eq(loop_init(&console_bench.loop), 0);
	serial_init(&console_bench.serial, &serial_host);
	ck_assert_int_eq(console_init(&console_bench.console, &console_bench.loop, &config), 0);
	ck_assert_int_eq(console_begin(&console_bench.console), 0);
}

void console_bench_finish(void)
{
	console_release(&console_bench.console);
	serial_release(&console_bench.serial);
	loop_release(&console_bench.loop);
}

void console_bench_expect(const char *want, size_t len)
{
	pthread_t vcpu;
	guest.stop_at = guest.len + len;
	atomic_store(&console_bench.loop.stop, false);
	guest_listen();
	ck_assert_int_eq(pthread_create(&vcpu, NULL, guest_read, NULL), 0);
	ck_assert_int_eq(loop_run(&console_bench.loop), 0);
	pthread_join(vcpu, NULL);
	ck_assert_mem_eq(guest.data + guest.len - len, want, len);
}

void console_bench_write(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t written = write(fd, data, len);
		ck_assert_int_gt(written, 0);
		data += written;
		len -= written;
	}
}

void console_bench_put(int fd, int number)
{
	ck_assert_int_eq(dup2(fd, number), number);
	close(fd);
}
