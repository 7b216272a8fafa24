{
  inventory.instances.zerotier-local = {
    module = {
      name = "zerotier";
      input = "fleet";
    };
    roles.controller.machines.cinnabar = { };
    roles.peer.tags."workstation" = { };
  };
}
