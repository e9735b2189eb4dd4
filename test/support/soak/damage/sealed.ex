defmodule Penstock.Soak.Damage.Sealed do
  @moduledoc false
  # Damage to a folder with parts that are sealed, which takes as many bytes as a part has and so its time.

  @wounds 8

  def run(seed, root), do: Penstock.Soak.Damage.run(seed, root, :large, @wounds)
end
