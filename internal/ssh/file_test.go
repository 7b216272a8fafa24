package ssh

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestWriteFile(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	conn := s.dial(t)
	dir := t.TempDir()
	binary := make([]byte, 3<<20)
	rand.Read(binary)

	for name, file := range map[string]struct {
		mode    fs.FileMode
		content []byte
	}{
		"plain":        {0o644, []byte("hello\n")},
		"empty":        {0o600, nil},
		"no newline":   {0o400, []byte("x")},
		"binary":       {0o600, binary},
		"it's \\ $odd": {0o755, []byte("#!/bin/sh\n")},
		"-rf":          {0o600, []byte("x")},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			for range 2 { // new, and over an older one
				if err := conn.WriteFile(t.Context(), path, file.mode, file.content); err != nil {
					t.Fatal(err)
				}
			}
			got, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(got, file.content) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if info, _ := os.Stat(path); info.Mode() != file.mode {
				t.Errorf("mode %v", info.Mode())
			}
		})
	}
	t.Run("a symbolic link is replaced, not followed", func(t *testing.T) {
		os.WriteFile(dir+"/target", []byte("old"), 0o644)
		os.Symlink(dir+"/target", dir+"/link")
		if err := conn.WriteFile(t.Context(), dir+"/link", 0o600, []byte("new")); err != nil {
			t.Fatal(err)
		}
		if old, _ := os.ReadFile(dir + "/target"); string(old) != "old" {
			t.Errorf("the target is now %q", old)
		}
	})
	for path, says := range map[string]string{
		"relative":      "not a clean absolute path",
		"/a/../b":       "not a clean absolute path",
		"/":             "is a directory",
		dir:             dir + " is a directory",
		dir + "/no/dir": "No such file or directory",
		"/proc/x":       "write /proc/x on 127.0.0.1",
	} {
		if err := conn.WriteFile(t.Context(), path, 0o600, []byte("x")); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v, want %q in it", path, err, says)
		}
	}
}

// Whenever the writer dies, the old file stands and nothing lies about.
func TestWriteFileInterrupted(t *testing.T) {
	t.Parallel()
	content := make([]byte, 8<<20)
	t.Run("cancelled", func(t *testing.T) {
		s := newServer(t)
		conn := s.dial(t)
		dir := t.TempDir()
		if err := conn.WriteFile(t.Context(), dir+"/file", 0o600, []byte("old")); err != nil {
			t.Fatal(err)
		}
		for delay := 5 * time.Millisecond; delay < 200*time.Millisecond; delay *= 2 {
			ctx, cancel := context.WithTimeout(t.Context(), delay)
			err := conn.WriteFile(ctx, dir+"/file", 0o600, content)
			cancel()
			if err == nil {
				break // it was faster
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			waitFor(t, "the host settles", func() bool {
				left, _ := filepath.Glob(dir + "/.fleet.*")
				return len(left) == 0
			})
		}
		if info, err := os.Stat(dir + "/file"); err != nil || info.Size() != 3 && info.Size() != int64(len(content)) {
			t.Errorf("half a file: %v, %v", info, err)
		}
	})
	t.Run("connection lost", func(t *testing.T) {
		s := newServer(t)
		conn := s.dial(t)
		dir := t.TempDir()
		os.WriteFile(dir+"/file", []byte("old"), 0o600)
		go func() {
			for {
				if found, _ := filepath.Glob(dir + "/.fleet.*"); len(found) > 0 {
					s.kill()
					return
				}
				time.Sleep(time.Millisecond)
			}
		}()
		endless := make([]byte, 256<<20)
		if err := conn.WriteFile(t.Context(), dir+"/file", 0o600, endless); !errors.Is(err, ErrConnectionLost) {
			t.Errorf("got %v", err)
		}
		if got, _ := os.ReadFile(dir + "/file"); string(got) != "old" {
			t.Errorf("the file has %d bytes", len(got))
		}
	})
}
