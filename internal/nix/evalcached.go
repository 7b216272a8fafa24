package nix

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
)

// EvalKey is what the value of any expression over the flake in dir depends
// on: the flake's content, the nix program and its settings here, the
// platform. It costs one process of git.
func (c *CLI) EvalKey(ctx context.Context, dir string) (string, error) {
	identity, err := c.Identity()
	if err != nil {
		return "", err
	}
	fingerprint, err := c.Fingerprint(ctx, dir)
	if err != nil {
		return "", err
	}
	return Key(fingerprint, identity), nil
}

// EvalCached evaluates, or takes the value that the cache has for the same
// request and the same parts; parts are an EvalKey and whatever else the value
// depends on. A nil cache and impure requests evaluate always. A cache that
// cannot be written is no reason to fail.
//
// The garbage collector knows nothing of the cache: a store path in a cached
// value may be gone. Who builds it must be ready to evaluate anew.
func EvalCached(ctx context.Context, x Executor, cache *Cache, req EvalRequest, v any, parts ...string) (hit bool, err error) {
	if cache == nil || len(parts) == 0 || slices.Contains(parts, "") || slices.Contains(req.Args, "--impure") {
		return false, x.Eval(ctx, req, v)
	}
	key := Key(Key(parts...), req.Installable, req.Expr, req.Apply, strings.Join(req.Args, "\x00"))
	if data, ok := cache.Get(key); ok && json.Unmarshal(data, v) == nil {
		return true, nil
	}
	var raw json.RawMessage
	if err := x.Eval(ctx, req, &raw); err != nil {
		return false, err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return false, err
	}
	_ = cache.Put(key, raw)
	return false, nil
}
