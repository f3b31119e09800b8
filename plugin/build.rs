//! Compiles the shim between this crate and FAISS, against the headers that faiss-sys installed.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(faiss_avx2)");
    #[cfg(feature = "faiss")]
    shim();
}

#[cfg(feature = "faiss")]
#[expect(clippy::disallowed_methods, reason = "cargo tells a build script by the environment")]
fn shim() {
    use std::env::var;

    let source = "src/ann/ffi/shim.cpp";
    println!("cargo:rerun-if-changed={source}");
    let root = var("DEP_FAISS_C_ROOT").expect("faiss-sys with `static` says where it is");
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").include(format!("{root}/include")).flag("-fopenmp").opt_level(3);
    let compiler = build.get_compiler();
    let avx2 = compiler.args().iter().any(|flag| {
        ["-march=x86-64-v3", "-march=x86-64-v4", "-mavx2", "-march=native"]
            .iter()
            .any(|known| flag == *known)
    });
    if avx2 {
        println!("cargo:rustc-cfg=faiss_avx2");
    } else if var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64") {
        let target = var("TARGET").unwrap_or_default().replace('-', "_");
        println!(
            "cargo:warning=FAISS is built without AVX2, which makes its searches up to 5 times \
             slower; set CXXFLAGS_{target}=\"-march=x86-64-v3\", under [env] in .cargo/config.toml, \
             unless the program must run on processors from before 2013"
        );
    }
    build.file(source).compile("tdense_shim");
    // The shim needs what faiss-sys listed before it.
    println!("cargo:rustc-link-lib=static=faiss");
    println!("cargo:rustc-link-lib=gomp");
    // Tests link a library of it.
    println!("cargo:rustc-env=FAISS_ROOT={root}");
}
