{
  description = "fleet runs NixOS and nix-darwin machines from one flake";

  outputs = _: import ./internal/flake/core;
}
