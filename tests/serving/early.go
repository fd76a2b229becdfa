// Sends a body of 200 MiB over HTTP/2 without TLS, as crane's library does, and prints the protocol and the status.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func main() {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	request, err := http.NewRequest("PATCH", os.Args[1], io.LimitReader(zeros{}, 200<<20))
	if err != nil {
		panic(err)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	fmt.Println(response.Proto, response.StatusCode)
}
