# Machines that something is wrong with. The test puts their addresses in.
_:
let
  nixos = targetHost: {
    machineClass = "nixos";
    deploy = { inherit targetHost; };
  };
  bare = {
    nixpkgs.hostPlatform = "x86_64-linux";
    system.stateVersion = "25.11";
  };
in
{
  inventory.machines = {
    noeval = nixos "@noeval@";
    nobuild = nixos "@nobuild@";
    refusing = nixos "@refusing@";
    stranger = nixos "@stranger@";
    impostor = nixos "@impostor@";
  };

  flake.modules.nixos."hosts/noeval" = {
    imports = [ bare ];
    environment.etc."colour".text = throw "the machine has no colour";
  };
  flake.modules.nixos."hosts/nobuild" =
    { pkgs, ... }:
    {
      imports = [ bare ];
      environment.etc."nobuild".source = pkgs.runCommand "nobuild" { } ''
        echo "the compiler gave up" >&2
        exit 3
      '';
    };
  flake.modules.nixos."hosts/refusing" = bare;
  flake.modules.nixos."hosts/stranger" = bare;
  flake.modules.nixos."hosts/impostor" = bare;
}
