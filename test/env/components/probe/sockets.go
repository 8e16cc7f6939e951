package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// One connection that hold keeps open. Times are the socket's own, in seconds, as getsockopt(2) gives them.
type held struct {
	Port      int  `json:"port"`
	Keepalive bool `json:"keepalive"`
	Idle      int  `json:"idle"`
	Interval  int  `json:"interval"`
	Count     int  `json:"count"`
}

// A negative value leaves what the system gives a socket.
var systemTimings = net.KeepAliveConfig{Enable: true, Idle: -1, Interval: -1, Count: -1}

func hold(file string) error {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	// Accepted and kept: a closed end would end the connection.
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, connection) }()
		}
	}()
	connections := map[string]held{}
	for kind, dialer := range map[string]net.Dialer{
		"systemTimings": {KeepAliveConfig: systemTimings},
		"goTimings":     {},
		"noKeepalive":   {KeepAlive: -1},
	} {
		connection, err := dialer.Dial("tcp4", listener.Addr().String())
		if err != nil {
			return err
		}
		defer func() { _ = connection.Close() }()
		if connections[kind], err = describe(connection.(*net.TCPConn)); err != nil {
			return err
		}
	}
	text, err := json.Marshal(connections)
	if err != nil {
		return err
	}
	// Renamed, so that whoever finds the file finds all of it.
	if err := os.WriteFile(file+".part", text, 0o644); err != nil {
		return err
	}
	if err := os.Rename(file+".part", file); err != nil {
		return err
	}
	waitForEnd()
	return nil
}

// There is no cat in the image.
func printFiles(files []string) error {
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if _, err := os.Stdout.Write(text); err != nil {
			return err
		}
	}
	return nil
}

func describe(connection *net.TCPConn) (held, error) {
	described := held{Port: connection.LocalAddr().(*net.TCPAddr).Port}
	raw, err := connection.SyscallConn()
	if err != nil {
		return described, err
	}
	var failed error
	read := func(descriptor uintptr, level, option int) int {
		value, err := syscall.GetsockoptInt(int(descriptor), level, option)
		if err != nil && failed == nil {
			failed = err
		}
		return value
	}
	err = raw.Control(func(descriptor uintptr) {
		described.Keepalive = read(descriptor, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE) != 0
		described.Idle = read(descriptor, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE)
		described.Interval = read(descriptor, syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL)
		described.Count = read(descriptor, syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT)
	})
	if err != nil {
		return described, err
	}
	return described, failed
}

// One line of /proc/net/tcp.
type socket struct {
	LocalPort int `json:"localPort"`
	// 1: established.
	State int `json:"state"`
	// 0: none, 1: retransmission, 2: keepalive (or another long one), 3: time wait, 4: zero window probe.
	Timer int `json:"timer"`
	// Seconds until it fires.
	Remaining float64 `json:"remaining"`
}

// What /proc counts times in, on every architecture that Go knows.
const tick = 10 * time.Millisecond

func printSockets() error {
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return err
	}
	sockets := []socket{}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
		parsed, err := parseSocket(strings.Fields(line))
		if err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
		sockets = append(sockets, parsed)
	}
	return printJSON(sockets)
}

// Fields: number, local address:port, remote address:port, state, queues, timer:when, ... all but the first in hex.
func parseSocket(fields []string) (socket, error) {
	if len(fields) < 6 {
		return socket{}, fmt.Errorf("%d fields", len(fields))
	}
	var failed error
	hex := func(text string) int {
		value, err := strconv.ParseInt(text, 16, 64)
		if err != nil && failed == nil {
			failed = err
		}
		return int(value)
	}
	_, port, _ := strings.Cut(fields[1], ":")
	timer, when, _ := strings.Cut(fields[5], ":")
	return socket{
		LocalPort: hex(port),
		State:     hex(fields[3]),
		Timer:     hex(timer),
		Remaining: (time.Duration(hex(when)) * tick).Seconds(),
	}, failed
}
