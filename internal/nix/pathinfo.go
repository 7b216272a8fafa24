package nix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

var invalidPath = regexp.MustCompile(`path '(/[^']+)' (?:is not valid|is required, but|does not exist)`)

// PathInfo runs nix path-info. See Executor.
func (c *CLI) PathInfo(ctx context.Context, store string, paths ...string) (map[string]PathInfo, error) {
	return c.pathInfo(ctx, store, paths)
}

// Closure runs nix path-info --recursive. See Executor.
func (c *CLI) Closure(ctx context.Context, store, path string) (map[string]PathInfo, error) {
	return c.pathInfo(ctx, store, []string{path}, "--recursive")
}

// pathInfo asks a Nix that fails for a missing path again without it.
func (c *CLI) pathInfo(ctx context.Context, store string, paths []string, flags ...string) (map[string]PathInfo, error) {
	paths = slices.Clone(paths)
	for len(paths) > 0 {
		args := append([]string{"path-info", "--json"}, flags...)
		if store != "" {
			args = append(args, "--store", store)
		}
		args = append(args, "--")
		args = append(args, paths...)
		out, err := c.run(ctx, process{op: "path-info", subject: shorten(paths), args: args})
		if err == nil {
			infos, err := decodePathInfo(out)
			if err != nil {
				return nil, fmt.Errorf("nix path-info: reading its answer: %w", err)
			}
			return infos, nil
		}
		var e *Error
		if !errors.As(err, &e) {
			return nil, err
		}
		m := invalidPath.FindStringSubmatch(e.Message)
		if m == nil || !slices.Contains(paths, m[1]) {
			return nil, err
		}
		paths = slices.DeleteFunc(paths, func(p string) bool { return p == m[1] })
	}
	return map[string]PathInfo{}, nil
}

// rawPathInfo is one path as the versions of Nix print it.
type rawPathInfo struct {
	Path       string   `json:"path"`
	Valid      *bool    `json:"valid"`
	NarHash    narHash  `json:"narHash"`
	NarSize    int64    `json:"narSize"`
	References []string `json:"references"`
}

// narHash is a string, or in the newest format an object.
type narHash string

func (h *narHash) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) == nil {
		*h = narHash(s)
		return nil
	}
	var parts struct{ Algorithm, Format, Hash string }
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	sep := ":"
	if parts.Format == "base64" || parts.Format == "" {
		sep = "-" // as in subresource integrity
	}
	*h = narHash(parts.Algorithm + sep + parts.Hash)
	return nil
}

// decodePathInfo reads a list (up to 2.18), an object by path with null for
// what is missing (2.19), or that below "info" with names instead of paths.
func decodePathInfo(data []byte) (map[string]PathInfo, error) {
	var list []*rawPathInfo
	if json.Unmarshal(data, &list) == nil {
		out := map[string]PathInfo{}
		for _, raw := range list {
			if raw != nil {
				raw.addTo(out, raw.Path, "")
			}
		}
		return out, nil
	}
	var versioned struct {
		Version  int                     `json:"version"`
		StoreDir string                  `json:"storeDir"`
		Info     map[string]*rawPathInfo `json:"info"`
	}
	byPath := map[string]*rawPathInfo{}
	if json.Unmarshal(data, &versioned) == nil && versioned.Info != nil {
		byPath = versioned.Info
	} else if err := json.Unmarshal(data, &byPath); err != nil {
		return nil, err
	}
	storeDir := versioned.StoreDir
	if storeDir == "" {
		storeDir = "/nix/store"
	}
	out := map[string]PathInfo{}
	for name, raw := range byPath {
		if raw != nil {
			raw.addTo(out, name, storeDir)
		}
	}
	return out, nil
}

func (raw *rawPathInfo) addTo(out map[string]PathInfo, name, storeDir string) {
	if raw.Valid != nil && !*raw.Valid || name == "" {
		return
	}
	references := []string{}
	for _, r := range raw.References {
		references = append(references, inStore(storeDir, r))
	}
	out[inStore(storeDir, name)] = PathInfo{
		NarHash: string(raw.NarHash), NarSize: raw.NarSize, References: references,
	}
}

func inStore(storeDir, name string) string {
	if storeDir == "" || strings.HasPrefix(name, "/") {
		return name
	}
	return path.Join(storeDir, name)
}
