package nix

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// cacheFormat begins every entry; another format is another cache.
	cacheFormat = "fleet-cache-1"
	// DefaultCacheBytes bounds a Cache that does not say.
	DefaultCacheBytes = 64 << 20
	// staleTemp is the age at which a half-written entry has no writer any more.
	staleTemp = time.Hour
)

// Cache keeps JSON by key in a folder, bounded in size: what was used longest
// ago goes first. Any number of processes may use it at the same time: entries
// appear whole (write and rename), and carry a checksum, so that a torn, cut or
// foreign file is no entry. Losing it costs time only, so nothing is synced.
type Cache struct {
	// Dir is made when needed, for its owner only.
	Dir string
	// MaxBytes bounds the entries; 0 is DefaultCacheBytes.
	MaxBytes int64
	// Now is the clock; nil is the real one.
	Now func() time.Time
}

// Key makes a key of parts. Parts are kept apart: ("a", "b") is not ("ab").
func Key(parts ...string) string {
	sum := sha256.New()
	write(sum, cacheFormat)
	write(sum, parts...)
	return hex.EncodeToString(sum.Sum(nil))
}

// Get returns the entry and marks it as used.
func (c *Cache) Get(key string) ([]byte, bool) {
	path := c.path(key)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, false
	}
	head, value, ok := strings.Cut(string(data), "\n")
	if !ok || head != checksum(key, value) {
		_ = os.Remove(path)
		return nil, false
	}
	now := c.now()
	_ = os.Chtimes(path, now, now)
	return []byte(value), true
}

// Put keeps value and makes room for it.
func (c *Cache) Put(key string, value []byte) error {
	if int64(len(value)) > c.max() {
		return nil // it would push everything else out
	}
	if err := c.write(key, value); err != nil {
		return fmt.Errorf("cache %s: %w", c.Dir, err)
	}
	if err := c.trim(); err != nil {
		return fmt.Errorf("cache %s: making room: %w", c.Dir, err)
	}
	return nil
}

func (c *Cache) write(key string, value []byte) error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(c.Dir, "tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone when it was renamed
	_, err = f.WriteString(checksum(key, string(value)) + "\n" + string(value))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	now := c.now()
	if err := os.Chtimes(f.Name(), now, now); err != nil {
		return err
	}
	return os.Rename(f.Name(), c.path(key))
}

// trim removes what was used longest ago until three quarters of the room are
// taken, so that not every Put has to.
func (c *Cache) trim() error {
	names, err := os.ReadDir(c.Dir)
	if err != nil {
		return err
	}
	var entries []fs.FileInfo
	var total int64
	for _, name := range names {
		info, err := name.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue // another process was faster
		}
		if strings.HasPrefix(info.Name(), "tmp-") {
			if c.now().Sub(info.ModTime()) > staleTemp {
				_ = os.Remove(filepath.Join(c.Dir, info.Name()))
			}
			continue
		}
		entries = append(entries, info)
		total += info.Size()
	}
	if total <= c.max() {
		return nil
	}
	slices.SortFunc(entries, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range entries {
		if total <= c.max()/4*3 {
			break
		}
		if err := os.Remove(filepath.Join(c.Dir, info.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		total -= info.Size()
	}
	return nil
}

func (c *Cache) path(key string) string { return filepath.Join(c.Dir, Key(key)) }

func (c *Cache) max() int64 {
	if c.MaxBytes > 0 {
		return c.MaxBytes
	}
	return DefaultCacheBytes
}

func (c *Cache) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

// checksum covers the key, too: an entry under a wrong name is none.
func checksum(key, value string) string { return Key(key, value) }
