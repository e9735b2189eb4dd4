defmodule Orders.MixProject do
  # A mix project whose sources are Erlang: `mix deps.get`, then `mix run -e ":orders.main()"`.
  use Mix.Project

  def project, do: [app: :orders, version: "1.0.0", deps: [{:penstock, path: "../.."}]]
  def application, do: [extra_applications: [:logger]]
end
