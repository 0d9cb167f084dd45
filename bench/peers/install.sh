#!/bin/sh
# Makes a throw-away environment with the peers that this folder measures, all from PyPI.
# llama.cpp is built from source for the machine that it will run on; that takes a C++ compiler and some minutes.
#
#     install.sh ENVIRONMENT
set -eu
environment=${1:?"usage: install.sh ENVIRONMENT, a folder that does not exist yet"}

python3 -m venv "$environment"
"$environment/bin/pip" install torch==2.15.0 transformers==5.23.0 trl==1.16.0 gguf==0.19.0
CMAKE_ARGS="-DGGML_NATIVE=ON" "$environment/bin/pip" install --no-binary llama-cpp-python --no-cache-dir llama-cpp-python==0.3.36
"$environment/bin/python" "$(dirname "$0")/gguf_model.py" "$environment/random-bf16.gguf"
