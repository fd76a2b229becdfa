// Reads JSON documents, a line each, as Go's clients do, and prints what it saw of each, a line each: "" for an error.
//
// The structures are those of github.com/opencontainers/image-spec/specs-go/v1, as far as they say what to pull.
//
// With the argument "runes" it prints instead every code point that encoding/json takes for an ASCII letter.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

type platform struct {
	Architecture string   `json:"architecture"`
	OS           string   `json:"os"`
	OSVersion    string   `json:"os.version"`
	OSFeatures   []string `json:"os.features"`
	Variant      string   `json:"variant"`
}

type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	URLs         []string          `json:"urls"`
	Annotations  map[string]string `json:"annotations"`
	Data         []byte            `json:"data"`
	Platform     *platform         `json:"platform"`
	ArtifactType string            `json:"artifactType"`
}

type document struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        *descriptor       `json:"config,omitzero"`
	Layers        []descriptor      `json:"layers,omitzero"`
	Manifests     []descriptor      `json:"manifests,omitzero"`
	Blobs         []descriptor      `json:"blobs,omitzero"`
	Subject       *descriptor       `json:"subject,omitzero"`
	Annotations   map[string]string `json:"annotations"`
}

func runes() {
	for r := rune(128); r <= 0x10ffff; r++ {
		if r >= 0xd800 && r < 0xe000 {
			continue
		}
		var seen struct {
			A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R, S, T, U, V, W, X, Y, Z int
		}
		if err := json.Unmarshal([]byte(fmt.Sprintf(`{"%c":1}`, r)), &seen); err != nil {
			panic(err)
		}
		if values := fmt.Sprint(seen); len(values) > 0 && contains(values, '1') {
			fmt.Println(r)
		}
	}
}

func contains(text string, letter rune) bool {
	for _, each := range text {
		if each == letter {
			return true
		}
	}
	return false
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "runes" {
		runes()
		return
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var seen document
		if err := json.Unmarshal(lines.Bytes(), &seen); err != nil {
			fmt.Println()
			continue
		}
		text, err := json.Marshal(seen)
		if err != nil {
			panic(err)
		}
		fmt.Println(string(text))
	}
}
