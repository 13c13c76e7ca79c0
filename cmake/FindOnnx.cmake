# The library of the ONNX project (Debian: libonnx-dev). Its own ONNXConfig.cmake names protobuf's target without looking
# for it, so that a build without protobuf's headers would stop instead of going on without ONNX.
find_path(Onnx_INCLUDE onnx/onnx_pb.h)
find_path(Onnx_PROTOBUF_INCLUDE google/protobuf/message.h)
find_library(Onnx_LIBRARY NAMES onnx)
find_library(Onnx_PROTO_LIBRARY NAMES onnx_proto)
find_library(Onnx_PROTOBUF_LIBRARY NAMES protobuf)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Onnx REQUIRED_VARS Onnx_LIBRARY Onnx_PROTO_LIBRARY Onnx_PROTOBUF_LIBRARY Onnx_INCLUDE
                                  Onnx_PROTOBUF_INCLUDE)
if(Onnx_FOUND AND NOT TARGET Onnx::onnx)
  add_library(Onnx::onnx INTERFACE IMPORTED)
  set_target_properties(Onnx::onnx PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${Onnx_INCLUDE};${Onnx_PROTOBUF_INCLUDE}"
    INTERFACE_COMPILE_DEFINITIONS "ONNX_NAMESPACE=onnx;ONNX_ML=1"
    INTERFACE_LINK_LIBRARIES "${Onnx_LIBRARY};${Onnx_PROTO_LIBRARY};${Onnx_PROTOBUF_LIBRARY}")
endif()
mark_as_advanced(Onnx_INCLUDE Onnx_PROTOBUF_INCLUDE Onnx_LIBRARY Onnx_PROTO_LIBRARY Onnx_PROTOBUF_LIBRARY)
