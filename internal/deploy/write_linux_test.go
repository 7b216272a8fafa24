package deploy

import (
	"bytes"
	"crypto/rand"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
)

// write runs what puts a file in place on a machine; size is what the sender
// says, content what arrives.
func write(t *testing.T, file string, size int, content io.Reader) error {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", writeScript, "sh", file, strconv.Itoa(size))
	cmd.Stdin = content
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	if err != nil && said.Len() > 0 {
		return scriptFailure(said.String())
	}
	return err
}

type scriptFailure string

func (e scriptFailure) Error() string { return string(e) }

// wantFile checks a file, and that nothing lies beside it.
func wantFile(t *testing.T, file, want string) {
	t.Helper()
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("%s has %d bytes, want %d: %v", file, len(got), len(want), err)
	}
	if info, err := os.Lstat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("%s: %v, %v", file, info.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside %s: %v, %v", file, entries, err)
	}
}

func TestWriteScript(t *testing.T) {
	random := make([]byte, 3<<20)
	_, _ = rand.Read(random)
	for name, content := range map[string]string{
		"plain": "hello\n", "empty": "", "no newline": "x", "binary": string(random), `it's \ $odd`: "x", "-rf": "x",
	} {
		file := filepath.Join(t.TempDir(), "new", "deep", name)
		for _, content := range []string{content, "old", content} { // new, and over an older one
			if err := write(t, file, len(content), strings.NewReader(content)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			wantFile(t, file, content)
		}
		if info, err := os.Stat(filepath.Dir(file)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the folder of %s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestWriteScriptReplacesALink(t *testing.T) {
	target, file := filepath.Join(t.TempDir(), "target"), filepath.Join(t.TempDir(), "link")
	if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, file); err != nil {
		t.Fatal(err)
	}
	if err := write(t, file, 3, strings.NewReader("new")); err != nil {
		t.Fatal(err)
	}
	wantFile(t, file, "new")
	wantFile(t, target, "old")
}

func TestWriteScriptKeepsAFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "key.txt")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := write(t, folder, 3, strings.NewReader("new")); err == nil || !strings.Contains(err.Error(), folder+" is a directory") {
		t.Errorf("got %v", err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(folder)); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// A line that drops looks like the end of the content, and there is nobody any more
// who would be told.
func TestWriteScriptOfALineThatDrops(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, arrives := range []string{"", "half a k"} {
		err := write(t, file, 9, iotest.OneByteReader(strings.NewReader(arrives)))
		if err == nil || !strings.Contains(err.Error(), "only "+strconv.Itoa(len(arrives))+" of 9 bytes arrived") {
			t.Errorf("%q arrived: %v", arrives, err)
		}
		wantFile(t, file, "old")
	}
	nobody, words, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	defer words.Close()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", writeScript, "sh", file, "9")
	cmd.Stderr = words
	if err := cmd.Run(); err == nil {
		t.Error("nothing arrived, and it is content")
	}
	wantFile(t, file, "old")
}

// What a killed writer has left is not in the way.
func TestWriteScriptAfterAKill(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), ".key.new"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(t, file, 3, strings.NewReader("new")); err != nil {
		t.Fatal(err)
	}
	wantFile(t, file, "new")
}

func TestWriteScriptOnAFullDisk(t *testing.T) {
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	file := filepath.Join(small, "key")
	if err := write(t, file, 3, strings.NewReader("old")); err != nil {
		t.Fatal(err)
	}
	large := bytes.Repeat([]byte("x"), 1<<20)
	if err := write(t, file, len(large), bytes.NewReader(large)); err == nil || !strings.Contains(err.Error(), "No space left on device") {
		t.Errorf("got %v", err)
	}
	wantFile(t, file, "old")
}
