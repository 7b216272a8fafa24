// Package testdata holds what tests and the demo fleet are made of.
package testdata

import "embed"

// Nix is our offline nixpkgs with its nix-darwin and home-manager, as the folders
// nixpkgs, nix-darwin and home-manager. The demo template vendors a copy of it.
//
//go:embed all:nixpkgs all:nix-darwin all:home-manager
var Nix embed.FS
