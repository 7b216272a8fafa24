package nix

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/crs58/fleet/internal/environ"
)

// gitTimeout bounds a question to git, which is local.
const gitTimeout = 30 * time.Second

// Fingerprint is a short text that changes whenever what Nix would see of the
// flake in dir changes: the commit, and the content of every tracked file that
// differs from it (files added with intent count, untracked ones do not, as for
// Nix). In a git work tree it costs one process of git and none of nix; other
// folders are given to Nix, which hashes them.
//
// It speaks of the flake's own tree. Inputs are pinned by flake.lock, which is
// a part of it; of an input that is not locked it knows nothing.
func (c *CLI) Fingerprint(ctx context.Context, dir string) (string, error) {
	l := newLocator(c.opts.Dir, nil)
	dir, err := filepath.EvalSymlinks(l.abs(dir))
	if err != nil {
		return "", fmt.Errorf("fingerprint: %w", err)
	}
	ref := "path:" + escaped(dir)
	if root, ok := gitRoot(dir); ok {
		sub, err := filepath.Rel(root, dir)
		if err != nil {
			return "", fmt.Errorf("fingerprint: %w", err)
		}
		sum := sha256.New()
		if err := c.hashTree(ctx, sum, root); err == nil {
			return "git-" + hex.EncodeToString(sum.Sum(nil)) + ":" + filepath.ToSlash(sub), nil
		} else if ctx.Err() != nil {
			return "", fmt.Errorf("fingerprint of %s: %w", dir, ctx.Err())
		}
		// No usable git program: Nix has a git of its own.
		ref = "git+file://" + escaped(root) + "?dir=" + url.QueryEscape(filepath.ToSlash(sub))
	}
	m, err := c.Metadata(ctx, ref)
	if err != nil {
		return "", err
	}
	if m.NarHash == "" {
		return "", fmt.Errorf("fingerprint of %s: this Nix gives no hash of the folder", dir)
	}
	return "nar-" + m.NarHash, nil
}

func escaped(path string) string { return (&url.URL{Path: path}).EscapedPath() }

// hashTree writes the state of the work tree at root into sum.
func (c *CLI) hashTree(ctx context.Context, sum hash.Hash, root string) error {
	out, err := c.git(ctx, root, "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=no", "--ignore-submodules=none", "--no-ahead-behind")
	if err != nil {
		return err
	}
	status, err := parseGitStatus(out)
	if err != nil {
		return err
	}
	write(sum, "commit", status.Head)
	for _, change := range status.Changes {
		write(sum, change.Line, change.From)
		if path := filepath.Join(root, filepath.FromSlash(change.Path)); change.Submodule {
			err = c.hashTree(ctx, sum, path)
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		} else {
			err = hashFile(sum, path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// hashFile writes what Nix would take of a file: its kind, whether it can be
// executed, its content.
func hashFile(sum hash.Hash, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		write(sum, "missing")
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		write(sum, "link", target)
		return err
	case !info.Mode().IsRegular():
		write(sum, info.Mode().Type().String())
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	content := sha256.New()
	if _, err := io.Copy(content, f); err != nil {
		return err
	}
	write(sum, fmt.Sprint("file ", info.Mode()&0o111 != 0), string(content.Sum(nil)))
	return nil
}

// write adds texts so that none can be taken for the beginning of the next.
func write(sum hash.Hash, parts ...string) {
	for _, p := range parts {
		fmt.Fprintf(sum, "%d:%s,", len(p), p)
	}
}

// git asks git about the work tree at root, without locks, hooks and daemons.
func (c *CLI) git(ctx context.Context, root string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	program, err := environ.LookPath(environ.Get(c.env, "PATH"), "git")
	if err != nil {
		return "", err
	}
	args = append([]string{"-C", root, "-c", "core.quotePath=false", "-c", "core.fsmonitor=false"}, args...)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(c.env[:len(c.env):len(c.env)], "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0")
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, oneLine(clean(stderr.String())))
	}
	return stdout.String(), nil
}
