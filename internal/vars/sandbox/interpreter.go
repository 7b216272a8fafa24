package sandbox

import (
	"bytes"
	"io"
	"os"
)

// Interpreter is the program of the script's first line if it lies in the
// store; it serves as /bin/sh for what the script starts.
func Interpreter(script string) string {
	f, err := os.Open(script)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 512)
	n, _ := io.ReadFull(f, head)
	line, _, _ := bytes.Cut(head[:n], []byte("\n"))
	rest, ok := bytes.CutPrefix(line, []byte("#!"))
	words := bytes.Fields(rest)
	if !ok || len(words) == 0 || !bytes.HasPrefix(words[0], []byte("/nix/store/")) {
		return ""
	}
	return string(words[0])
}
