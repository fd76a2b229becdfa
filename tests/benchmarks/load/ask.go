package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const piece = 256 << 10

// ask sends requests over keep-alive connections of HTTP/1.1 until the time is over, or the number is reached.
func ask(work Work) Result {
	var requests [][]byte
	for _, path := range work.paths {
		lines := append([]string{fmt.Sprintf("%s %s HTTP/1.1", work.method, path), "Host: " + work.address}, work.headers...)
		requests = append(requests, []byte(strings.Join(lines, "\r\n")+"\r\n\r\n"))
	}
	if len(requests) == 0 {
		fail("no paths")
	}
	tallies := make([]Tally, work.connections)
	var turn atomic.Int64
	began := time.Now()
	end := began.Add(time.Duration(work.seconds * float64(time.Second)))
	next := func() []byte {
		mine := turn.Add(1) - 1
		if over := work.count > 0 && mine >= int64(work.count); over || work.count == 0 && time.Now().After(end) {
			return nil
		}
		return requests[mine%int64(len(requests))]
	}
	var all sync.WaitGroup
	for number := range tallies {
		all.Go(func() { connection(work, next, &tallies[number]) })
	}
	all.Wait()
	return sum(tallies, time.Since(began))
}

// connection asks one request after the other; a broken one is a failure, and another takes its place.
func connection(work Work, next func() []byte, tally *Tally) {
	var conn net.Conn
	var reader *bufio.Reader
	for request := next(); request != nil; request = next() {
		if conn == nil {
			opened, err := net.Dial("tcp", work.address)
			if err != nil {
				tally.fail(err.Error())
				return
			}
			conn, reader = opened, bufio.NewReaderSize(opened, piece)
		}
		began := time.Now()
		size, closes, err := exchange(conn, reader, request, work.method == "HEAD")
		tally.latencies = append(tally.latencies, time.Since(began))
		tally.bytes += size
		if err != nil {
			tally.fail(err.Error())
		}
		if err != nil || closes {
			conn.Close()
			conn = nil
		}
	}
	if conn != nil {
		conn.Close()
	}
}

// exchange answers how many bytes the body had, and whether the connection ends with it.
func exchange(conn net.Conn, reader *bufio.Reader, request []byte, head bool) (int64, bool, error) {
	if _, err := conn.Write(request); err != nil {
		return 0, true, err
	}
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return 0, true, err
	}
	if len(line) < 12 {
		return 0, true, errors.New("no status")
	}
	// Nothing refers to the line once the next is read, so its status is looked at now.
	var failure error
	if line[9] != '2' {
		failure = errors.New(string(bytes.TrimSpace(line)))
	}
	length, chunked, closes, err := fields(reader)
	if err == nil && !head {
		if chunked {
			length, err = chunks(reader)
		} else {
			_, err = reader.Discard(int(length))
		}
	}
	if err != nil {
		return 0, true, err
	}
	return length, closes, failure
}

// fields reads the header to its end.
func fields(reader *bufio.Reader) (length int64, chunked bool, closes bool, err error) {
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return 0, false, false, err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			return length, chunked, closes, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			length, err = strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
			if err != nil {
				return 0, false, false, err
			}
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			chunked = bytes.EqualFold(bytes.TrimSpace(value), []byte("chunked"))
		case bytes.EqualFold(name, []byte("connection")):
			closes = bytes.EqualFold(bytes.TrimSpace(value), []byte("close"))
		}
	}
}

// chunks skips a chunked body and answers how many bytes it had.
func chunks(reader *bufio.Reader) (int64, error) {
	var total int64
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return total, err
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 64)
		if err != nil {
			return total, err
		}
		if _, err := reader.Discard(int(size) + 2); err != nil {
			return total, err
		}
		total += size
		if size == 0 {
			return total, nil
		}
	}
}
