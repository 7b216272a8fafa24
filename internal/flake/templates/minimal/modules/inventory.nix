# What the fleet consists of. Reading this evaluates no machine.
{
  inventory = {
    meta.name = "fleet";

    machines.server = {
      machineClass = "nixos";
      tags = [ "cloud" ];
      description = "The first machine";
      # ssh://[user@]host[:port], or [user@]host.
      deploy.targetHost = "root@server.example.org";
    };

    # Services that several machines take part in:
    # instances.zerotier-local = {
    #   module.name = "zerotier";
    #   roles.controller.machines.server = { };
    #   roles.peer.tags = [ "workstation" ];
    # };
  };
}
