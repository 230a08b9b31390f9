// SPDX-License-Identifier: Apache-2.0
/* The UART as Linux's drivers/tty/serial/8250 finds, tries and uses it. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "devices/serial/serial.h"

enum { RX_TX, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

enum { IIR_NONE = 1, IIR_THR_EMPTY = 2, IIR_RECEIVED = 4, IIR_LINE_STATUS = 6, IIR_MASK = 0x0f };

static struct serial serial;
static struct {
	int level;
	unsigned int changes;
	char sent[64];
	size_t sent_len;
	unsigned int ready;
} host;

static void on_interrupt(void *ctx, int level)
{
	(void)ctx;
	ck_assert_int_ne(level, host.level);
	host.level = level;
	host.changes++;
}

static void on_transmit(void *ctx, const uint8_t *data, size_t len)
{
	(void)ctx;
	/* Nobody may hold the lock here: a host that blocks would block every vCPU. */
	ck_assert_int_eq(pthread_mutex_trylock(&serial.lock), 0);
	pthread_mutex_unlock(&serial.lock);
	memcpy(host.sent + host.sent_len, data, len);
	host.sent_len += len;
}

static void on_ready(void *ctx)
{
	(void)ctx;
	ck_assert_int_eq(pthread_mutex_trylock(&serial.lock), 0);
	pthread_mutex_unlock(&serial.lock);
	host.ready++;
}

static const struct serial_host serial_host = {NULL, on_interrupt, on_transmit, on_ready};

static uint8_t inb(unsigned int offset)
{
	uint8_t value;
	serial_read(&serial, offset, &value, 1);
	return value;
}

static void out(unsigned int offset, uint8_t value)
{
	serial_write(&serial, offset, &value, 1);
}

static uint8_t interrupt(void)
{
	return inb(IIR_FCR) & IIR_MASK;
}

static void setup(void)
{
	memset(&host, 0, sizeof(host));
	serial_init(&serial, &serial_host);
	out(MCR, 0x08); /* interrupts are let through */
}

static void teardown(void)
{
	serial_release(&serial);
}

/* The order of autoconfig(): what each step must read for a PORT_16550A to come out. */
START_TEST(test_linux_finds_a_16550a)
{
	out(IER, 0);
	ck_assert_uint_eq(inb(IER) & 0x0f, 0);
	out(IER, 0x0f);
	ck_assert_uint_eq(inb(IER) & 0x0f, 0x0f);
	out(IER, 0);

	uint8_t mcr = inb(MCR);
	out(MCR, 0x10 | 0x08 | 0x02);
	ck_assert_uint_eq(inb(MSR) & 0xf0, 0x90);
	out(MCR, mcr);

	uint8_t lcr = inb(LCR);
	out(LCR, 0xbf);
	out(IIR_FCR, 0);
	out(LCR, 0);
	out(IIR_FCR, 0x01);
	ck_assert_uint_eq(inb(IIR_FCR) >> 6, 3);

	/* Not one of its successors: no EFR, no bank select, no 64-byte FIFO, no UART enable bit.
	 */
	out(LCR, 0x80);
	ck_assert_uint_ne(inb(IIR_FCR), 0);
	out(LCR, 0xbf);
	ck_assert_uint_ne(inb(IIR_FCR), 0);
	out(LCR, 0);
	mcr = inb(MCR);
	out(LCR, 0xe0);
	uint8_t bank = inb(IIR_FCR);
	ck_assert_uint_eq((bank ^ mcr) & 0x10, 0);
	out(LCR, 0);
	out(MCR, mcr ^ 0x10);
	out(LCR, 0xe0);
	ck_assert_uint_eq((inb(IIR_FCR) ^ mcr) & 0x10, 0);
	out(LCR, 0);
	out(MCR, mcr);
	out(IIR_FCR, 0x01 | 0x20);
	ck_assert_uint_eq(inb(IIR_FCR) >> 5, 6);
	out(LCR, 0x80);
	out(IIR_FCR, 0x01 | 0x20);
	ck_assert_uint_eq(inb(IIR_FCR) >> 5, 6);
	out(LCR, 0);
	out(IER, 0x40);
	ck_assert_uint_eq(inb(IER), 0);
	out(LCR, lcr);

	ck_assert_uint_eq(host.sent_len, 0);
}
END_TEST

START_TEST(test_scratch_and_divisor)
{
	out(SCR, 0xa5);
	ck_assert_uint_eq(inb(SCR), 0xa5);

	/* An early console divides by what it finds. */
	out(LCR, 0x83);
	ck_assert_uint_eq(inb(RX_TX) | inb(IER) << 8, 1);
	out(RX_TX, 0x0c);
	out(IER, 0x01);
	ck_assert_uint_eq(inb(RX_TX), 0x0c);
	ck_assert_uint_eq(inb(IER), 0x01);
	out(LCR, 0x03);
	ck_assert_uint_eq(inb(IER), 0);
	ck_assert_uint_eq(inb(RX_TX), 0);
	ck_assert_uint_eq(host.sent_len, 0);
}
END_TEST

/* Polled, as by an early console. */
START_TEST(test_send_polled)
{
	for (const char *c = "hello"; *c; c++) {
		ck_assert_uint_eq(inb(LSR) & 0x60, 0x60);
		out(RX_TX, *c);
	}
	ck_assert_uint_eq(host.sent_len, 5);
	ck_assert_mem_eq(host.sent, "hello", 5);
	ck_assert_uint_eq(host.changes, 0);
}
END_TEST

/* serial8250_do_startup()'s tests for UART_BUG_THRE and UART_BUG_TXEN find neither. */
START_TEST(test_linux_finds_no_bugs)
{
	out(IER, 0x02);
	ck_assert_uint_eq(inb(IIR_FCR) & 1, 0);
	out(IER, 0);
	out(IER, 0x02);
	ck_assert_uint_eq(inb(IIR_FCR) & 1, 0);
	out(IER, 0);

	out(IER, 0x02);
	ck_assert_uint_eq(inb(LSR) & 0x40, 0x40);
	ck_assert_uint_eq(inb(IIR_FCR) & 1, 0);
	out(IER, 0);
	ck_assert_int_eq(host.level, 0);
}
END_TEST

START_TEST(test_transmitter_empty_is_an_event)
{
	out(IER, 0x02);
	ck_assert_int_eq(host.level, 1);
	ck_assert_uint_eq(interrupt(), IIR_THR_EMPTY);
	ck_assert_int_eq(host.level, 0);
	ck_assert_uint_eq(interrupt(), IIR_NONE);

	/* Written again while it is on: nothing new. */
	out(IER, 0x02);
	ck_assert_int_eq(host.level, 0);

	out(RX_TX, 'a');
	ck_assert_int_eq(host.level, 1);
	ck_assert_uint_eq(interrupt(), IIR_THR_EMPTY);
	ck_assert_int_eq(host.level, 0);
	ck_assert_uint_eq(host.changes, 4);

	/* Switched off: the event waits unseen. */
	out(IER, 0);
	out(RX_TX, 'b');
	ck_assert_int_eq(host.level, 0);
	ck_assert_uint_eq(interrupt(), IIR_NONE);
}
END_TEST

START_TEST(test_receive)
{
	out(IIR_FCR, 0x01);
	out(IER, 0x01);
	ck_assert_uint_eq(serial_receive(&serial, (const uint8_t *)"ab", 2), 2);
	ck_assert_int_eq(host.level, 1);
	ck_assert_uint_eq(interrupt(), IIR_RECEIVED);
	ck_assert_uint_eq(interrupt(), IIR_RECEIVED);
	ck_assert_uint_eq(inb(LSR) & 1, 1);
	ck_assert_uint_eq(inb(RX_TX), 'a');
	ck_assert_int_eq(host.level, 1);
	ck_assert_uint_eq(inb(RX_TX), 'b');
	ck_assert_int_eq(host.level, 0);
	ck_assert_uint_eq(inb(LSR) & 1, 0);
	ck_assert_uint_eq(inb(RX_TX), 0);
	ck_assert_uint_eq(host.ready, 0);
}
END_TEST

/* Data is more urgent than an empty transmitter, and does not hide it for ever. */
START_TEST(test_priorities)
{
	out(IIR_FCR, 0x01);
	out(IER, 0x03);
	serial_receive(&serial, (const uint8_t *)"a", 1);
	ck_assert_uint_eq(interrupt(), IIR_RECEIVED);
	inb(RX_TX);
	ck_assert_int_eq(host.level, 1);
	ck_assert_uint_eq(interrupt(), IIR_THR_EMPTY);
	ck_assert_int_eq(host.level, 0);
}
END_TEST

START_TEST(test_overfull_is_held_back)
{
	uint8_t bytes[40];
	for (int i = 0; i < 40; i++)
		bytes[i] = i;
	out(IIR_FCR, 0x01);
	out(IER, 0x05);

	size_t offered = 0;
	for (int round = 0; round < 3; round++) {
		size_t taken = serial_receive(&serial, bytes + offered, 40 - offered);
		ck_assert_uint_eq(taken, round < 2 ? SERIAL_FIFO : 8);
		ck_assert_uint_eq(serial_receive(&serial, bytes, 1), round < 2 ? 0 : 1);
		if (round == 2)
			break;
		for (int i = 0; i < SERIAL_FIFO; i++) {
			ck_assert_uint_eq(host.ready, round);
			ck_assert_uint_eq(inb(LSR) & 3, 1);
			ck_assert_uint_eq(inb(RX_TX), offered + i);
		}
		ck_assert_uint_eq(host.ready, round + 1);
		offered += taken;
	}
	/* Told once each time, and not when all was taken. */
	while (inb(LSR) & 1)
		inb(RX_TX);
	ck_assert_uint_eq(host.ready, 2);
}
END_TEST

/* Without its FIFO it is an 8250: one byte. */
START_TEST(test_no_fifo)
{
	out(IER, 0x01);
	ck_assert_uint_eq(serial_receive(&serial, (const uint8_t *)"ab", 2), 1);
	ck_assert_uint_eq(inb(RX_TX), 'a');
	ck_assert_uint_eq(host.ready, 1);
}
END_TEST

/* What is typed before the driver is up is neither cleared nor read away by its start. */
START_TEST(test_typed_ahead)
{
	ck_assert_uint_eq(serial_receive(&serial, (const uint8_t *)"ls", 2), 0);
	out(IIR_FCR, 0x01);
	out(IIR_FCR, 0x07);
	out(IIR_FCR, 0);
	inb(LSR);
	inb(RX_TX);
	inb(IIR_FCR);
	inb(MSR);
	out(IIR_FCR, 0x01);
	ck_assert_uint_eq(serial_receive(&serial, (const uint8_t *)"ls", 2), 0);
	ck_assert_uint_eq(host.ready, 0);
	out(IER, 0x05);
	ck_assert_uint_eq(host.ready, 1);
	ck_assert_uint_eq(serial_receive(&serial, (const uint8_t *)"ls", 2), 2);
	ck_assert_uint_eq(inb(RX_TX), 'l');
}
END_TEST

/* Firmware has no interrupts on, but asks again and again. */
START_TEST(test_polling_guest_listens)
{
	ck_assert_uint_eq(serial_receive(&serial, (const uint8_t *)"a", 1), 0);
	/* Told once, however long the host takes. */
	for (int i = 0; i < 100; i++)
		inb(LSR);
	ck_assert_uint_eq(host.ready, 1);
	ck_assert_uint_eq(serial_receive(&serial, (const uint8_t *)"a", 1), 1);
	ck_assert_uint_eq(inb(LSR) & 1, 1);
	ck_assert_uint_eq(inb(RX_TX), 'a');
}
END_TEST

/* A polled console asks before each byte it sends, and does not want input. */
START_TEST(test_sending_guest_does_not_listen)
{
	ck_assert_uint_eq(serial_receive(&serial, (const uint8_t *)"a", 1), 0);
	for (int i = 0; i < 50; i++) {
		inb(LSR);
		out(RX_TX, 'x');
	}
	ck_assert_uint_eq(host.ready, 0);
}
END_TEST

START_TEST(test_loopback)
{
	out(IIR_FCR, 0x01);
	out(IER, 0x05);
	out(MCR, 0x10);
	ck_assert_uint_eq(serial_receive(&serial, (const uint8_t *)"z", 1), 0);
	for (int i = 0; i < SERIAL_FIFO; i++)
		out(RX_TX, i);
	ck_assert_uint_eq(host.sent_len, 0);
	ck_assert_uint_eq(interrupt(), IIR_RECEIVED);

	/* One too many is lost, and said once. */
	out(RX_TX, 99);
	ck_assert_uint_eq(interrupt(), IIR_LINE_STATUS);
	ck_assert_uint_eq(inb(LSR) & 3, 3);
	ck_assert_uint_eq(inb(LSR) & 3, 1);
	for (int i = 0; i < SERIAL_FIFO; i++)
		ck_assert_uint_eq(inb(RX_TX), i);
	ck_assert_uint_eq(inb(LSR) & 1, 0);
	ck_assert_uint_eq(host.ready, 0);

	/* The outside is heard again. */
	out(MCR, 0x0b);
	ck_assert_uint_eq(host.ready, 1);
	ck_assert_uint_eq(serial_receive(&serial, (const uint8_t *)"z", 1), 1);
}
END_TEST

START_TEST(test_fifo_clear)
{
	out(IIR_FCR, 0x01);
	out(MCR, 0x10);
	out(RX_TX, 'a');
	out(IIR_FCR, 0x01);
	ck_assert_uint_eq(inb(LSR) & 1, 1);
	out(IIR_FCR, 0x03);
	ck_assert_uint_eq(inb(LSR) & 1, 0);
	out(RX_TX, 'b');
	out(IIR_FCR, 0x00);
	ck_assert_uint_eq(inb(LSR) & 1, 0);
}
END_TEST

START_TEST(test_modem_status)
{
	ck_assert_uint_eq(inb(MSR), 0xb0);
	out(IER, 0x08);
	ck_assert_int_eq(host.level, 0);
	/* CTS, DSR and DCD fall, and RI rises, which is not told. */
	out(MCR, 0x10 | 0x04);
	ck_assert_int_eq(host.level, 1);
	ck_assert_uint_eq(interrupt(), 0);
	ck_assert_uint_eq(inb(MSR), 0x40 | 0x0b);
	ck_assert_int_eq(host.level, 0);
	/* RI falls, which is. */
	out(MCR, 0x10);
	ck_assert_uint_eq(inb(MSR), 0x04);
	ck_assert_uint_eq(inb(MSR), 0);
}
END_TEST

START_TEST(test_wide_accesses)
{
	out(SCR, 0x77);
	uint32_t value = 0;
	serial_read(&serial, LSR, &value, 4);
	ck_assert_uint_eq(value, 0xff77b060);

	/* To LCR, MCR, LSR and MSR, of which two can be written. */
	value = 0xffff0203;
	serial_write(&serial, LCR, &value, 4);
	ck_assert_uint_eq(inb(LCR), 0x03);
	ck_assert_uint_eq(inb(MCR), 0x02);

	/* The end of the registers is the end. */
	uint64_t all = UINT64_C(0x1122334455667788);
	serial_write(&serial, SCR, &all, 8);
	ck_assert_uint_eq(inb(SCR), 0x88);
	ck_assert_uint_eq(inb(LCR), 0x03);
	serial_read(&serial, SCR, &all, 8);
	ck_assert_uint_eq(all, UINT64_C(0xffffffffffffff88));
}
END_TEST

/* Linux tries IER when it looks for the port, and clears the FIFO after; then OUT2, IER, the FIFO. */
START_TEST(test_nothing_is_lost_while_a_driver_starts)
{
	const uint8_t *typed = (const uint8_t *)"ab";

	out(MCR, 0x01);
	out(IER, 0x0f);
	ck_assert_uint_eq(serial_receive(&serial, typed, 2), 0);
	out(IER, 0);
	out(MCR, 0x09);
	ck_assert_uint_eq(serial_receive(&serial, typed, 2), 0);
	out(IER, 0x05);
	ck_assert_uint_eq(serial_receive(&serial, typed, 2), 1);
	out(IIR_FCR, 0x01);
	ck_assert_uint_eq(serial_receive(&serial, typed + 1, 1), 1);
	ck_assert_uint_eq(inb(RX_TX), 'a');
	ck_assert_uint_eq(inb(RX_TX), 'b');
}
END_TEST

enum { LSR_READY = 0x01, LSR_BREAK = 0x10 };

/* As serial8250_read_char() goes: LSR before each byte; the byte after a break is SysRq's key. */
START_TEST(test_break_comes_with_its_byte)
{
	out(IIR_FCR, 1);
	ck_assert_int_eq(serial_break(&serial, 't'), -EAGAIN); /* nobody listens */
	out(IER, 1);
	ck_assert_uint_eq(serial_receive(&serial, (const uint8_t *)"ab", 2), 2);
	ck_assert_int_eq(serial_break(&serial, 't'), 0);
	ck_assert_int_eq(serial_break(&serial, 'u'), -EAGAIN); /* one at a time */

	for (const char *c = "ab"; *c; c++) {
		ck_assert_uint_eq(inb(LSR) & (LSR_READY | LSR_BREAK), LSR_READY);
		ck_assert_uint_eq(inb(RX_TX), *c);
	}
	ck_assert_uint_eq(inb(LSR) & (LSR_READY | LSR_BREAK), LSR_READY | LSR_BREAK);
	ck_assert_uint_eq(inb(RX_TX), 0);
	ck_assert_uint_eq(inb(LSR) & (LSR_READY | LSR_BREAK), LSR_READY);
	ck_assert_uint_eq(inb(RX_TX), 't');
	ck_assert_uint_eq(inb(LSR) & (LSR_READY | LSR_BREAK), 0);
	ck_assert_int_eq(serial_break(&serial, 'u'), 0);
}
END_TEST

START_TEST(test_break_goes_with_the_fifo)
{
	out(IIR_FCR, 1);
	out(IER, 1);
	ck_assert_int_eq(serial_break(&serial, 't'), 0);
	out(IIR_FCR, 3); /* cleared */
	ck_assert_uint_eq(serial_receive(&serial, (const uint8_t *)"a", 1), 1);
	ck_assert_uint_eq(inb(LSR) & (LSR_READY | LSR_BREAK), LSR_READY);

	out(IIR_FCR, 3);
	ck_assert_int_eq(serial_break(&serial, 't'), 0);
	inb(RX_TX), inb(RX_TX); /* read without a look at LSR */
	ck_assert_uint_eq(serial_receive(&serial, (const uint8_t *)"ab", 2), 2);
	ck_assert_uint_eq(inb(LSR) & (LSR_READY | LSR_BREAK), LSR_READY);
	inb(RX_TX);
	ck_assert_uint_eq(inb(LSR) & (LSR_READY | LSR_BREAK), LSR_READY);

	out(IIR_FCR, 0); /* one byte's room: a break and its key need two */
	ck_assert_int_eq(serial_break(&serial, 't'), -EAGAIN);
}
END_TEST

Suite *serial_suite(void);
Suite *serial_suite(void)
{
	Suite *suite = suite_create("serial");
	TCase *tcase = tcase_create("serial");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, test_linux_finds_a_16550a);
	tcase_add_test(tcase, test_nothing_is_lost_while_a_driver_starts);
	tcase_add_test(tcase, test_nothing_is_lost_while_a_driver_starts);
	tcase_add_test(tcase, test_break_comes_with_its_byte);
	tcase_add_test(tcase, test_break_goes_with_the_fifo);
	tcase_add_test(tcase, test_scratch_and_divisor);
	tcase_add_test(tcase, test_send_polled);
	tcase_add_test(tcase, test_linux_finds_no_bugs);
	tcase_add_test(tcase, test_transmitter_empty_is_an_event);
	tcase_add_test(tcase, test_receive);
	tcase_add_test(tcase, test_priorities);
	tcase_add_test(tcase, test_overfull_is_held_back);
	tcase_add_test(tcase, test_no_fifo);
	tcase_add_test(tcase, test_typed_ahead);
	tcase_add_test(tcase, test_polling_guest_listens);
	tcase_add_test(tcase, test_sending_guest_does_not_listen);
	tcase_add_test(tcase, test_loopback);
	tcase_add_test(tcase, test_fifo_clear);
	tcase_add_test(tcase, test_modem_status);
	tcase_add_test(tcase, test_wide_accesses);
	suite_add_tcase(suite, tcase);
	return suite;
}
