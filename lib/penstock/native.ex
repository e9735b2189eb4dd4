defmodule Penstock.Native do
  @moduledoc false
  # Stubs of the functions of the Rust core, and nothing else.

  @on_load :load

  def load do
    :penstock
    |> :code.priv_dir()
    |> Path.join("native/penstock_nif")
    |> String.to_charlist()
    |> :erlang.load_nif(0)
  end
end
