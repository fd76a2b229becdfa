package main

import (
	"io"
	"log"
	"net/http"
	"strings"
	"sync"
)

// answer serves a registry that keeps nothing but digests, and says yes to everything at once. What a client needs with
// it is the client's own: no registry can be faster.
func answer(address string) {
	var there sync.Map
	log.Fatal(http.ListenAndServe(address, http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body)
		path, last := request.URL.Path, request.URL.Path[strings.LastIndex(request.URL.Path, "/")+1:]
		switch {
		case request.Method == http.MethodPost:
			writer.Header().Set("Location", path+"session")
			writer.WriteHeader(http.StatusAccepted)
		case request.Method == http.MethodPatch:
			writer.Header().Set("Location", path)
			writer.WriteHeader(http.StatusAccepted)
		case request.Method == http.MethodPut:
			there.Store(request.URL.Query().Get("digest"), true)
			writer.WriteHeader(http.StatusCreated)
		case path != "/v2/":
			if _, found := there.Load(last); !found {
				writer.WriteHeader(http.StatusNotFound)
			}
		}
	})))
}
