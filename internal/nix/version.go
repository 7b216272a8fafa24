package nix

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/crs58/fleet/internal/environ"
)

// versionLine reads "nix (Nix) 2.26.3", "nix (Lix, like Nix) 2.91.1" and
// "nix (Determinate Nix 3.6.2) 2.29.0".
var versionLine = regexp.MustCompile(`(?m)^nix \(.*\) (\d+\.\d+\S*)\s*$`)

// Version runs nix --version, once. See Executor.
func (c *CLI) Version(ctx context.Context) (string, error) {
	program, err := c.find()
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	version := c.version
	c.mu.Unlock()
	if version == "" {
		if version, err = c.askVersion(ctx, program); err != nil {
			return "", err
		}
		c.mu.Lock()
		c.version = version
		c.mu.Unlock()
	}
	if older(version, MinVersion) {
		return "", &TooOldError{Have: version, Want: MinVersion}
	}
	return version, nil
}

func (c *CLI) askVersion(ctx context.Context, program string) (string, error) {
	var stdout, stderr bytes.Buffer
	if err := c.start(ctx, program, []string{"--version"}, &stdout, &stderr); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return "", fmt.Errorf("%s --version: %w: %s", program, err, oneLine(clean(stderr.String())))
	}
	m := versionLine.FindStringSubmatch(stdout.String())
	if m == nil {
		return "", fmt.Errorf("%s --version says %q, which is no version of Nix", program, oneLine(clean(stdout.String())))
	}
	return m[1], nil
}

// older compares the numbers of versions; what follows them ("pre2025…") does
// not count.
func older(have, want string) bool {
	h, w := numbers(have), numbers(want)
	for i := range w {
		if h[i] != w[i] {
			return h[i] < w[i]
		}
	}
	return false
}

func numbers(version string) (out [3]int) {
	for i, part := range strings.SplitN(version, ".", 3) {
		digits := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' })
		if digits < 0 {
			digits = len(part)
		}
		out[i] = atoi(part[:digits])
	}
	return out
}

// Identity names the nix program and how it is called, so that what one Nix
// has evaluated is not taken for the answer of another. It starts no process.
func (c *CLI) Identity() (string, error) {
	program, err := c.find()
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(program)
	if err != nil {
		return "", fmt.Errorf("nix program: %w", err)
	}
	info, err := os.Stat(real)
	if err != nil {
		return "", fmt.Errorf("nix program: %w", err)
	}
	return strings.Join([]string{
		real, strconv.FormatInt(info.Size(), 10), strconv.FormatInt(info.ModTime().UnixNano(), 10),
		System(), strconv.FormatBool(c.opts.AcceptFlakeConfig), strings.Join(c.opts.ExtraArgs, "\x00"),
		environ.Get(c.env, "NIX_CONFIG"),
	}, "\x00"), nil
}
