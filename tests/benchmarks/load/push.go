package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// push uploads blobs that no other blob equals, as docker does: POST, one PATCH of unknown length, PUT.
func push(work Work) Result {
	block := make([]byte, 1<<20)
	if _, err := rand.Read(block); err != nil {
		fail(err.Error())
	}
	// What the client computes before it sends is no part of the registry's time.
	digests := make([]string, max(1, work.count))
	for number := range digests {
		hash := sha256.New()
		if _, err := io.Copy(hash, content(block, number, work.size)); err != nil {
			fail(err.Error())
		}
		digests[number] = fmt.Sprintf("sha256:%x", hash.Sum(nil))
	}
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: work.connections, WriteBufferSize: piece,
	}}
	tallies := make([]Tally, work.connections)
	var turn atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for each := range tallies {
		all.Go(func() {
			for number := int(turn.Add(1) - 1); number < len(digests); number = int(turn.Add(1) - 1) {
				began := time.Now()
				err := upload(client, work, content(block, number, work.size), digests[number])
				tallies[each].latencies = append(tallies[each].latencies, time.Since(began))
				tallies[each].bytes += work.size
				if err != nil {
					tallies[each].fail(err.Error())
				}
			}
		})
	}
	all.Wait()
	return sum(tallies, time.Since(began))
}

func upload(client *http.Client, work Work, body io.Reader, digest string) error {
	base := "http://" + work.address
	location, err := send(client, work, "POST", base+"/v2/"+work.repository+"/blobs/uploads/", nil, 202)
	if err != nil {
		return err
	}
	if location, err = send(client, work, "PATCH", absolute(base, location), body, 202); err != nil {
		return err
	}
	joint := "?"
	if strings.Contains(location, "?") {
		joint = "&"
	}
	_, err = send(client, work, "PUT", absolute(base, location)+joint+"digest="+digest, nil, 201)
	return err
}

// send answers the Location of an answer of the status that is wanted.
func send(client *http.Client, work Work, method, url string, body io.Reader, wanted int) (string, error) {
	request, err := http.NewRequest(method, url, body)
	if err != nil {
		return "", err
	}
	for _, line := range work.headers {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Set(name, value)
	}
	answer, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	if answer.StatusCode != wanted {
		return "", errors.New(method + " " + answer.Status + " " + string(said))
	}
	return answer.Header.Get("Location"), nil
}

func absolute(base, location string) string {
	if strings.HasPrefix(location, "/") {
		return base + location
	}
	return location
}

// content is `size` bytes: its number, and random bytes that are the same for all blobs of a run. Hides that it is
// more than a Reader, so that it is sent as a client sends what it compresses on the way.
func content(block []byte, number int, size int64) io.Reader {
	head := binary.BigEndian.AppendUint64(nil, uint64(number))
	return io.LimitReader(io.MultiReader(strings.NewReader(string(head)), &endless{block: block}), size)
}

// endless repeats a block.
type endless struct {
	block []byte
	at    int
}

func (source *endless) Read(into []byte) (int, error) {
	copied := copy(into, source.block[source.at:])
	source.at = (source.at + copied) % len(source.block)
	return copied, nil
}
