package nix_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/nix/nixtest"
)

func TestCache(t *testing.T) {
	c := &nix.Cache{Dir: filepath.Join(t.TempDir(), "deep", "cache")}
	if _, ok := c.Get("k"); ok {
		t.Error("an empty cache has an entry")
	}
	for _, value := range []string{`{"a":1}`, "", "two\nlines\n", "\x00\xff"} {
		if err := c.Put("k", []byte(value)); err != nil {
			t.Fatal(err)
		}
		if got, ok := c.Get("k"); !ok || string(got) != value {
			t.Errorf("put %q, got %q, %v", value, got, ok)
		}
	}
	if nix.Key("a", "b") == nix.Key("ab") || nix.Key("a") == nix.Key("a", "") {
		t.Error("keys run together")
	}
	info, err := os.Stat(c.Dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v, %v", info.Mode(), err)
	}
}

func TestCacheIgnoresDamage(t *testing.T) {
	c := &nix.Cache{Dir: t.TempDir()}
	value := bytes.Repeat([]byte("value "), 100)
	if err := c.Put("other", value); err != nil {
		t.Fatal(err)
	}
	other := only(t, c.Dir)
	for name, damage := range map[string]func(path string, data []byte) error{
		"cut":     func(path string, data []byte) error { return os.WriteFile(path, data[:len(data)-1], 0o600) },
		"empty":   func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o600) },
		"flipped": func(path string, data []byte) error { data[len(data)-3] ^= 1; return os.WriteFile(path, data, 0o600) },
		"another's": func(path string, _ []byte) error {
			data, err := os.ReadFile(other)
			return errors.Join(err, os.WriteFile(path, data, 0o600))
		},
	} {
		if err := c.Put("k", value); err != nil {
			t.Fatal(err)
		}
		for _, path := range files(t, c.Dir) {
			if path == other {
				continue
			}
			data, err := os.ReadFile(path)
			if err := errors.Join(err, damage(path, data)); err != nil {
				t.Fatal(err)
			}
		}
		if got, ok := c.Get("k"); ok {
			t.Errorf("%s: still an entry: %q", name, got)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	c := &nix.Cache{Dir: t.TempDir(), MaxBytes: 10_000, Now: func() time.Time { return now }}
	old := filepath.Join(c.Dir, "tmp-left-behind")
	if err := os.WriteFile(old, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(old, now, now.Add(-2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		now = now.Add(time.Minute)
		if err := c.Put(fmt.Sprint(i), bytes.Repeat([]byte("x"), 900)); err != nil {
			t.Fatal(err)
		}
		if _, ok := c.Get("0"); !ok {
			t.Fatalf("what is used all the time is gone after %d", i)
		}
	}
	var total int64
	for _, path := range files(t, c.Dir) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total > c.MaxBytes || total < c.MaxBytes/2 {
		t.Errorf("%d bytes are kept", total)
	}
	if _, ok := c.Get("39"); !ok {
		t.Error("the newest is gone")
	}
	if _, ok := c.Get("1"); ok {
		t.Error("what was used longest ago is still there")
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("a half-written entry stays for ever")
	}
	if err := c.Put("big", make([]byte, 20_000)); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Get("39"); !ok {
		t.Error("one entry that is too big has pushed out the rest")
	}
}

func TestCacheConcurrently(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			c := &nix.Cache{Dir: dir, MaxBytes: 20_000} // its own, as another process has
			for i := range 60 {
				key := fmt.Sprint(i % 10)
				if err := c.Put(key, []byte(strings.Repeat(key, 1000+w))); err != nil {
					t.Error(err)
				}
				if got, ok := c.Get(key); ok && strings.Trim(string(got), key) != "" {
					t.Errorf("torn entry %q", got)
				}
			}
		})
	}
	wg.Wait()
	for _, path := range files(t, dir) {
		if strings.HasPrefix(filepath.Base(path), "tmp-") {
			t.Errorf("left behind: %s", path)
		}
	}
}

// Every input of an evaluation is an input of the key.
func TestEvalKey(t *testing.T) {
	dir := newFlake(t)
	opts := nix.Options{Env: nixtest.Env(t), Dir: dir}
	key := func() string {
		t.Helper()
		k, err := nix.New(opts).EvalKey(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	first := key()
	if key() != first {
		t.Error("the key changes by itself")
	}
	nixtest.Write(t, dir, map[string]string{"flake.nix": strings.Replace(flakeNix, "a = 1", "a = 2", 1)})
	if key() == first {
		t.Error("an edit is not seen")
	}
	nixtest.Write(t, dir, map[string]string{"flake.nix": flakeNix})
	if key() != first {
		t.Error("the key is not that of the content")
	}
	opts.ExtraArgs = []string{"--option", "cores", "1"}
	if key() == first {
		t.Error("a setting is not seen")
	}
	opts.ExtraArgs = nil
	opts.Program = filepath.Join(t.TempDir(), "nix")
	if err := os.WriteFile(opts.Program, []byte("#!/bin/sh\nexec nix \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	other := key()
	if other == first {
		t.Error("another nix is not seen")
	}
	if err := os.Chtimes(opts.Program, time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if key() == other {
		t.Error("a replaced nix is not seen")
	}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func only(t *testing.T, dir string) string {
	t.Helper()
	paths := files(t, dir)
	if len(paths) != 1 {
		t.Fatalf("%d files in %s", len(paths), dir)
	}
	return paths[0]
}
